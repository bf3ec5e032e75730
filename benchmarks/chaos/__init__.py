"""What becomes of acknowledged sessions when servers are killed, stopped, cut off and replaced.

Writers commit and remember what they were told (``work``, ``ledger``), while a scene's servers are
struck (``scenes``, started as the tests start theirs); then the store is asked (``trial``).
``python -m benchmarks.chaos`` runs the scenes and writes what ``tables`` shows.
"""
