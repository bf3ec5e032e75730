"""ctxlocal measured beside its rivals.

``python -m benchmarks.run`` measures, ``python -m benchmarks.render`` puts the figures in the docs.
"""
