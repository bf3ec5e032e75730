"""How long a test waits for what has to happen."""

PATIENCE_S = 100  # on a machine that does much else; nothing waits so long unless it fails
