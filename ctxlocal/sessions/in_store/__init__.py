"""Sessions whose values are in a store, under a random id that the cookie holds.

``sessions`` opens and ends them, by ``settings``; ``session`` is one of them while it is open, with
the record that it has ``held``. Each step between the two is a module: ``loading``; ``saving``, by
which all others are done in the end; ``committing``, and what ``same_key`` makes of a conflict;
``another_id``, by ``moving`` the record; ``ending`` it; the ``user_limit``. ``quick`` leaves most
of them out where a request does what most do; ``typed`` adds a schema.
"""
