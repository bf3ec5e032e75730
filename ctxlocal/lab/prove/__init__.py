"""A report of what was measured, in one HTML file."""
