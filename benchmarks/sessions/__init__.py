"""Sessions measured beside the field's: what a request costs, and what concurrent ones lose.

``python -m benchmarks.sessions`` measures; ``python -m benchmarks.render`` puts the figures in
``docs/sessions-benchmarks.md``. Every library runs in its own framework, in the least application
that has a view, called in process without sockets.
"""
