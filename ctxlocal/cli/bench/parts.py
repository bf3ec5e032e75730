"""The parts of the benchmark, in the order in which they run."""

from .concurrency.part import CONCURRENCY
from .micro.part import MICRO

PARTS = (MICRO, CONCURRENCY)
