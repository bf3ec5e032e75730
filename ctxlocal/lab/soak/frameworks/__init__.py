"""The soaked application inside a framework that people have: a module each, with ``make_app``.

The framework's own request, response and session are used, through ``ctxlocal.integrations``.
"""
