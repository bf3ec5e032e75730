"""What the report's words mean, for who has never heard of them."""

from ..matrix.table import LEGEND

OWNERS = {
    "context": "the current context of contextvars: of a thread, or of a task. The default.",
    "thread": "the thread of the operating system.",
    "greenlet": "the greenlet (a light thread, of gevent and eventlet too); in a thread's main one "
    "the thread.",
    "task": "the asyncio task; outside any task the thread.",
    "callable": LEGEND["callable"],
}
MEANINGS = {
    "foreign_reads": "A request saw another request's secret in a Local, a LocalStack, g or its "
    "session.",
    "stale_values": "Something was there when a request began that only an earlier one can have "
    "left.",
    "teardowns_skipped": "What runs at the end of a request did not run; also where the client "
    "hung up.",
    "teardowns_doubled": "It ran twice.",
    "teardowns_early": "It ran while the request was still at work.",
    "lost_updates": "A session was saved without what a concurrent request had put into it.",
}
SABOTAGES = {
    "shared-dict": "the Local is one dict for everybody",
    "store-forgets": "the session store loses every fourth commit, and says it did not",
}
