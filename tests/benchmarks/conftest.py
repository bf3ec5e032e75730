"""The benchmarks are not installed with the package: find them in the checkout."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))
