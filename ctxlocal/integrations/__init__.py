"""Ready connections to other libraries, each a module of its own that is imported when asked for.

``flask``, ``django``, ``starlette``, ``aiohttp``, ``litestar`` and ``pyramid`` make the frameworks'
own sessions ones of ours, and all but ``flask`` and ``pyramid`` have their request at hand;
``fastapi`` has dependencies. ``werkzeug`` puts ctxlocal in the place of ``werkzeug.local``.

``celery``, ``dramatiq``, ``rq``, ``huey`` and ``grpc`` let Locals' values go along with jobs and
calls. ``sqlalchemy`` gives each owner a session of a database.

``logging`` puts what a Local holds into logs, ``request_id`` the name of the request into a Local.
``opentelemetry_context`` keeps the current span; ``prometheus`` and ``opentelemetry`` watch a
session store. ``pytest`` gives each test fresh Locals, and finds the one that leaves a value;
``ipython`` keeps what a cell has set.

They use the public API alone: what they do can be done for any other library.

May import: ``ctxlocal``, ``errors``, ``flow``, ``ident``, ``local``, ``sessions``, ``trace``,
``web``.
"""
