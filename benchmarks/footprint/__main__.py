"""``python -m benchmarks.footprint``; apart from run.py, because a spawned process imports that."""

from .run import main

if __name__ == "__main__":
    raise SystemExit(main())
