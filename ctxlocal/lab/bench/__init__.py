"""``ctxlocal bench``: what locals cost, beside the other libraries that are installed here.

``micro`` measures single operations, ``concurrency`` many owners that share one Local.
``conductor.conduct`` runs both, job by job, each in a process of its own, and returns a
``report.BenchReport``. Another kind of benchmark is a ``BenchPart`` more in ``parts``.
"""
