"""R23 to R30: what is sealed, and how values become bytes."""

from __future__ import annotations

from .mutation import broken, edit

MUTATIONS = (
    broken(
        23,
        "the version is not authenticated",
        edit("(VERSION, name, purpose)", "(name, purpose)"),
    ),
    broken(
        23,
        "the cookie's name is not authenticated",
        edit("(VERSION, name, purpose)", "(VERSION, purpose)"),
    ),
    broken(
        23,
        "the purpose is not authenticated",
        edit("(VERSION, name, purpose)", "(VERSION, name)"),
    ),
    broken(
        23,
        "a signature is good for every cookie",
        edit(r'"\0".join(("signed cookie", VERSION, name, purpose))', '"signed cookie"'),
    ),
    broken(
        23,
        "the expiry is not checked",
        edit("envelope if now < envelope.expires else Rejected.EXPIRED", "envelope"),
    ),
    broken(
        23,
        "the content is not encrypted",
        edit(
            """
                return self._head + to_text(
                    nonce + self._encrypt(nonce, pack(envelope), self._context)
                )
            """,
            """
                tag = self._encrypt(nonce, b'', self._context + pack(envelope))
                return self._head + to_text(nonce + pack(envelope) + tag)
            """,
        ),
        edit(
            "content = decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], self._context)",
            """
                content = sealed[NONCE_SIZE:-TAG_SIZE]
                decrypt(sealed[:NONCE_SIZE], sealed[-TAG_SIZE:], self._context + content)
            """,
        ),
    ),
    broken(
        24,
        "what does not decrypt is taken as it is",
        edit(
            "return Rejected.FORGED", "content = sealed[NONCE_SIZE:-TAG_SIZE]", within="Sealer.open"
        ),
    ),
    broken(
        24,
        "what is not signed is taken as it is",
        edit("return Rejected.FORGED", "pass", within="Signer.open"),
    ),
    broken(
        24,
        "a token may be spelled in many ways",
        edit("not is_ours", "False", within="from_text"),
    ),
    broken(
        25,
        "pickles are read",
        edit(
            'raise ValueError(f"not a stored value ({type(error).__name__})") from None',
            """
                if raw[-1:] == b'.':
                    return __import__('pickle').loads(raw)
                raise ValueError(f"not a stored value ({type(error).__name__})") from None
            """,
            within="decode",
        ),
    ),
    broken(
        25,
        "pickles are written",
        edit("raise _refused(value)", "return __import__('pickle').dumps(value)"),
    ),
    broken(
        25,
        "pickle is within reach",
        edit(
            "from collections.abc import Callable, Mapping",
            """
                import pickle
                from collections.abc import Callable, Mapping
            """,
            within="codec",
        ),
    ),
    broken(
        26,
        "the last key signs",
        edit("VERSION + keyring.ids[0]", "VERSION + keyring.ids[-1]", within="Signer.__init__"),
    ),
    broken(
        26,
        "the last key encrypts",
        edit("VERSION + keyring.ids[0]", "VERSION + keyring.ids[-1]", within="Sealer.__init__"),
        edit("keys[keyring.ids[0]]", "keys[keyring.ids[-1]]"),
    ),
    broken(
        26,
        "only the first key verifies",
        edit("self._keys.items()", "list(self._keys.items())[:1]"),
    ),
    broken(
        26,
        "the token names no key",
        edit('hkdf(key, b"ctxlocal key id", ID_SIZE * 3 // 4)', "bytes([0, 0, 0, 0, 0, number])"),
    ),
    broken(
        27,
        "keys of 16 bytes",
        edit("len(key) < KEY_SIZE", "len(key) < 16"),
    ),
    broken(
        27,
        "one key for every purpose",
        edit('b"ctxlocal purpose " + purpose.encode()', 'b"ctxlocal purpose "'),
    ),
    broken(
        27,
        "the keys are used as they are",
        edit("hkdf(key, info, KEY_SIZE)", "key[:KEY_SIZE]"),
    ),
    broken(
        27,
        "keys are derived each time",
        edit("self._derived[purpose] = derived", "pass"),
    ),
    broken(
        28,
        "tokens of any size are decoded",
        edit("len(token) > MAX_SIZE", "False", within="Sealer.open"),
    ),
    broken(
        28,
        "signed tokens of any size are decoded",
        edit("len(token) > MAX_SIZE", "False", within="Signer.open"),
    ),
    broken(
        28,
        "values of any size are decoded",
        edit("len(raw) > MAX_BYTES", "False", within="check_limits"),
    ),
    broken(
        28,
        "any depth is decoded",
        edit("starts > MAX_DEPTH and is_deep(raw, MAX_DEPTH)", "starts > len(raw)"),
    ),
    broken(
        28,
        "integers of any length are read",
        edit("len(raw) > 20", "False"),
    ),
    broken(
        28,
        "what is not authenticated is decompressed",
        edit(
            "content: bytes = convert(text, bytes)",
            """
                content: bytes = convert(text, bytes)
                if content[:1] == b'x':
                    import zlib

                    content = zlib.decompress(content)
            """,
        ),
    ),
    broken(
        30,
        "nonces of 64 bits",
        edit("NONCE_SIZE = 12", "NONCE_SIZE = 8"),
    ),
    broken(
        30,
        "one nonce for all",
        edit("os.urandom(NONCE_SIZE)", "bytes(NONCE_SIZE)"),
    ),
    broken(
        30,
        "nonces that can be predicted",
        edit("os.urandom(NONCE_SIZE)", "__import__('random').randbytes(NONCE_SIZE)"),
    ),
    broken(
        30,
        "the limit of a key is not said",
        edit(
            """
                class Keyring:
                    ...
            """,
            """
                class Keyring:
                    __doc__ = "The secret keys of an application."
                    ...
            """,
        ),
    ),
)
