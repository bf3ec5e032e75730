"""Ready connections to other libraries, each a module of its own that is imported when asked for.

``prometheus`` and ``opentelemetry`` have functions that watch a session store. They use the public
API alone: what they do can be done for any other library.

May import: ``ctxlocal``, ``errors``, ``sessions``.
"""
