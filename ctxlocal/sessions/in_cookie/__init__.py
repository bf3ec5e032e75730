"""Sessions whose values are in the cookie, signed or encrypted."""
