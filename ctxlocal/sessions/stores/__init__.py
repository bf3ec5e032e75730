"""Where stored sessions keep their records; each module needs what its store needs, and no more."""
