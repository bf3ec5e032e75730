"""A small shop with real sessions, on a real server of your choice.

``shop`` is the application, ``at_once`` the page that shows what two requests at once keep,
``owner`` names who serves one, and ``serve`` is the process.
"""
