"""Ready connections to other libraries, each a module of its own that is imported when asked for.

``flask`` makes Flask's session one of ours; ``prometheus`` and ``opentelemetry`` watch a session
store. They use the public API alone: what they do can be done for any other library.

May import: ``ctxlocal``, ``errors``, ``sessions``.
"""
