"""One point: a part of a subject at one size, printed as JSON. Run in a process of its own."""

from __future__ import annotations

import json
import sys

from .subjects import SUBJECTS


def main(subject: str, part: str, size: str) -> None:
    """Measure, and print the figures."""
    figures = SUBJECTS[subject].parts[part](int(size))
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
