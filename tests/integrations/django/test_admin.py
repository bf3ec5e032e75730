"""The admin's action that ends sessions, as an administrator uses it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.test import Client, override_settings
from django.urls import reverse


@pytest.fixture
def root() -> Any:
    users = get_user_model().objects
    return users.filter(username="root").first() or users.create_superuser("root", password="pass")


@pytest.fixture
def with_the_action(django: None) -> Iterator[None]:
    from django.contrib.auth.admin import UserAdmin

    from ctxlocal.integrations.django.admin import end_sessions

    class Members(UserAdmin):  # type: ignore[misc]
        actions = (end_sessions,)

    model = get_user_model()
    admin.site.unregister(model)
    admin.site.register(model, Members)
    with override_settings(ROOT_URLCONF="tests.integrations.django.admin_urls"):
        yield
    admin.site.unregister(model)
    admin.site.register(model, UserAdmin)


def test_it_ends_those_of_the_chosen_users_but_not_its_own(
    with_the_action: None, root: Any, sessions: Any
) -> None:
    ada, _ = get_user_model().objects.get_or_create(username="ada")
    here, there, hers = Client(), Client(), Client()
    for browser, user in ((here, root), (there, root), (hers, ada)):
        browser.force_login(user)
    chosen = {"action": "end_sessions", "_selected_action": [ada.pk, root.pk]}
    answer = here.post(reverse("admin:auth_user_changelist"), chosen, follow=True)
    assert b"Sessions that were ended: 2." in answer.content
    assert sessions.list_sessions(str(ada.pk)) == []
    assert [info.is_current for info in sessions.list_sessions(str(root.pk))] == [False]
    assert here.get(reverse("admin:index")).status_code == 200
    assert there.get(reverse("admin:index")).status_code == 302
