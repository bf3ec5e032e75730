"""The soaked application inside a framework that people have: a module each, with ``make_app``.

The framework's own request, response and session are used, through ``ctxlocal.integrations``.
"""

SAVE_FAILURES = ("flask",)  # they save the session of a view that raised, too
SHOW_VARIABLES = ("django",)  # whose middleware hands foreign context variables through
