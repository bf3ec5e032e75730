"""``python -m ctxlocal`` is the command ``ctxlocal``."""

from .cli import main

if __name__ == "__main__":
    main()
