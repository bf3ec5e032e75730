"""How long a store goes on asking for a server that takes its writes."""

from __future__ import annotations

#: Seconds between the attempts, of which there is one more; 2 in all. The first comes at once:
#: an address may lead to another server by now, of which only a new connection learns.
PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.5, 0.75)
