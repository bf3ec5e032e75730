"""The memory of open sessions, and of connections that wait for their next request.

``python -m benchmarks.footprint`` measures. ``opened`` are requests under way, ``idle`` are
connections under a server, ``run`` measures both and ``tables`` shows it.
"""
