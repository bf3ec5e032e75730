"""The concurrency benchmark: many owners share one Local, and each has to find its own value.

``crowd`` runs N owners of a kind in turn, ``turn`` is what an owner does when it is its turn,
``library`` names what is compared; ``measure`` takes times and memory, ``part`` makes jobs of it
and ``tables`` draws what they found.
"""
