"""An action of the admin that ends the sessions of users: add it to that of your users.

::

    class UserAdmin(django.contrib.auth.admin.UserAdmin):
        actions = [end_sessions]
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages

from .configuration import get_sessions


@admin.action(description="End the sessions of the selected users", permissions=["change"])  # type: ignore[untyped-decorator]
def end_sessions(modeladmin: Any, request: Any, queryset: Any) -> None:
    """Log the users out wherever they are logged in, but for the session that asks."""
    sessions, asking = get_sessions(), request.session.ctxlocal
    ended = sum(
        sessions.revoke_all(str(pk), asking) for pk in queryset.values_list("pk", flat=True)
    )
    modeladmin.message_user(request, f"Sessions that were ended: {ended}.", messages.SUCCESS)
