"""Sessions whose values are in the cookie, signed or encrypted.

``sessions`` opens them; ``signer`` and ``sealer`` protect their values, with the keys of
``keyring``, in the format of ``envelope``.
"""
