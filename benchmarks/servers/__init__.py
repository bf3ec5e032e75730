"""Requests a second, and processor time a request, of frameworks under real servers.

``applications`` are what is served, ``served`` is one of them in a server's process, ``load`` is
wrk, ``run`` measures (``python -m benchmarks.servers``) and ``tables`` shows it.
"""

# What tells a server's process which application it serves, and where that keeps its files.
TITLE, PROTOCOL = "CTXLOCAL_BENCH_APPLICATION", "CTXLOCAL_BENCH_PROTOCOL"
FOLDER = "CTXLOCAL_BENCH_FOLDER"
