"""The doctor: what this process is made of, and whether its strategy can isolate there.

:func:`diagnose` needs nothing but the core, so an application can call it where
it runs and look at ``report.findings``, or assert ``report.is_healthy``.
"""

from .report import Diagnosis as Diagnosis
from .report import diagnose as diagnose

__all__ = ["Diagnosis", "diagnose"]
