"""Ready connections to other libraries, each a module of its own that is imported when asked for.

``flask`` and ``django`` make the frameworks' own sessions ones of ours; ``django``, ``starlette``
and ``fastapi`` have their request at hand; ``prometheus`` and ``opentelemetry`` watch a
session store; ``logging`` puts what a Local holds into logs, ``request_id`` the name of the request
into a Local; ``celery`` lets Locals' values go along with tasks; ``werkzeug`` puts ctxlocal in the
place of ``werkzeug.local``; ``opentelemetry_context`` keeps the current span, ``ipython`` what a
cell has set. They use the public API alone: what they do can be done for any other library.

May import: ``ctxlocal``, ``errors``, ``flow``, ``ident``, ``local``, ``sessions``, ``web``.
"""
