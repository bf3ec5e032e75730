"""The project's pages: one, whose view the test gives."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.urls import path

views: dict[str, Any] = {}


def page(request: Any) -> HttpResponse:
    return HttpResponse(str(views["page"](request)))


urlpatterns = [path("", page)]
