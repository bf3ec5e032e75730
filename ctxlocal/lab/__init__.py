"""The instruments: what shows isolation, loads servers and measures.

Each folder is one of them, but ``servers``, which starts the servers that they load; ``process``
starts and ends what they run.

May import: ``ctxlocal``, ``errors``, ``ident``, ``local``, ``flow``, ``sessions``, ``web``,
``integrations``.
"""
