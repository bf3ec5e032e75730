"""The admin's pages, which can be named only when Django is set up."""

from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
