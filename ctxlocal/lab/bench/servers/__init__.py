"""How many requests a second real servers answer, with contexts and sessions and without.

``hello`` is what they serve, ``load`` the client, ``measure`` one server's job.
"""

STORE = "CTXLOCAL_BENCH_STORE"  # the variable that holds the sessions' URL
BODY = b"ok"  # of every answer
