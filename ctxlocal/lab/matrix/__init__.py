"""The isolation matrix: each way of starting work, under each strategy, run for real.

``place`` derives what a strategy promises, ``exchange`` finds out what happens,
``worker`` runs probes in a process of their own and ``conductor`` the workers;
``report`` holds the result and ``table`` draws it. The ways of starting work
are in ``ctxlocal.lab.matrix.probes``.
"""
