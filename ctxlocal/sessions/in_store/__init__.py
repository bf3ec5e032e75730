"""Sessions whose values are in a store, under a random id that the cookie holds.

``sessions`` opens and ends them, by ``settings``; ``session`` is one of them while it is open.
"""
