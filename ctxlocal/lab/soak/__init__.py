"""The soak: a real server, loaded by unruly clients, while every request checks what it finds.

Inside the server: ``target`` is the application, in WSGI and ASGI, ``frameworks`` has one in
Flask, Django and FastAPI; ``conversation`` what a request does, step by step, the same in all,
``drive`` does it, ``kept`` is its session; ``places`` where it keeps its secret and looks for
other people's; ``ledger`` what it writes down; ``sabotage`` breaks one of these, to show that
the soak would see it. Outside: ``client`` speaks HTTP, ``visitor`` is a browser with several
connections and one session, ``conductor`` runs servers and visitors, ``pace`` times the
answers, and ``report`` and ``table`` say what came of it.
"""

SETTINGS = "CTXLOCAL_SOAK"  # the variable that tells the target: a JSON object
