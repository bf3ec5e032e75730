"""The micro benchmarks: what one operation costs, in nanoseconds, and an import in milliseconds.

``cases`` has the rows, ``case`` takes one sample, ``measure`` the samples of a group; ``part``
makes jobs of them and ``tables`` draws what they found.
"""
