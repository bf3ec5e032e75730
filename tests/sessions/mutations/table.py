"""What is broken, requirement by requirement, so that a test goes red.

Each piece has to be in the code exactly once: a table that no longer fits the code is an error,
not a mutation less.
"""

from __future__ import annotations

from . import caching, cookie, crypto, identifiers, robustness, termination

#: What sessions have to fulfil; 19 and 29 are not offered.
REQUIREMENTS = tuple(number for number in range(1, 36) if number not in (19, 29))

MUTATIONS = (
    *identifiers.MUTATIONS,
    *termination.MUTATIONS,
    *cookie.MUTATIONS,
    *caching.MUTATIONS,
    *crypto.MUTATIONS,
    *robustness.MUTATIONS,
)
