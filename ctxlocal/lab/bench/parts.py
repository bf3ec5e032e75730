"""The parts of the benchmark, in the order in which they run."""

from .concurrency.part import CONCURRENCY
from .micro.part import MICRO
from .servers.part import SERVERS_PART

PARTS = (MICRO, CONCURRENCY, SERVERS_PART)
