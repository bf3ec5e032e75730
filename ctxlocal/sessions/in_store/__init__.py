"""Sessions whose values are in a store, under a random id that the cookie holds."""
