"""How cost grows: with owners, Locals, attributes, stack depth and stored sessions.

``python -m benchmarks.scale`` writes one JSON file; :mod:`benchmarks.render` makes the tables of
``docs/scale.md`` of it. Each point is measured in a process of its own.
"""
