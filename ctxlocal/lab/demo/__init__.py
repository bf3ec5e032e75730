"""A small shop with real sessions, on a real server of your choice.

``shop`` is the application, ``serve`` the process that serves it.
"""
