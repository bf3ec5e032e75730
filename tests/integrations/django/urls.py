"""The project's pages: one, whose view the test gives, in three ways."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.urls import path

views: dict[str, Any] = {}


def page(request: Any) -> HttpResponse:
    return HttpResponse(str(views["page"](request)))


def response(request: Any) -> HttpResponseBase:
    answer: HttpResponseBase = views["page"](request)
    return answer


async def awaited(request: Any) -> HttpResponseBase:
    found = await views["page"](request)
    return found if isinstance(found, HttpResponseBase) else HttpResponse(str(found))


urlpatterns = [
    path("", page),
    path("response", response),
    path("awaited", awaited),
]
