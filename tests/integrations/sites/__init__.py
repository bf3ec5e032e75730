"""Sites where one logs in, each in a framework, with the framework's own means: a module each.

``python -m tests.integrations.sites.flask`` serves one on a free port, and prints its address.
"""

from __future__ import annotations

FORM = (
    '<form method="post" action="{action}">'
    '{token}{fields}<button id="{action}">{text}</button></form>'
)
FIELDS = (
    '<input name="name" autocomplete="username">'
    '<input name="password" type="password" autocomplete="current-password">'
)


def page(user: str | None, token: str = "") -> str:
    """Return the only page: who is signed in, and what he may do.

    :param token: the field against forged requests.
    """
    if user is None:
        forms = FORM.format(action="login", token=token, fields=FIELDS, text="Sign in")
    else:
        forms = FORM.format(action="logout", token=token, fields="", text=f"Sign out {user}")
        forms += FORM.format(action="others", token=token, fields="", text="Sign out elsewhere")
    return f'<!doctype html><link rel="icon" href="data:,"><title>A site</title>{forms}'
