"""``python -m benchmarks.servers``; apart from run.py, because tests import that."""

from .run import main

if __name__ == "__main__":
    raise SystemExit(main())
