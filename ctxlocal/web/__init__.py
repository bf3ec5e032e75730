"""A request and its contexts."""
