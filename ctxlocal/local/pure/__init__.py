"""The reference twin, written to be read: storage, scope, local, proxy."""
