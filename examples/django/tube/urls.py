"""Where the views are."""

from __future__ import annotations

from django.conf import settings
from django.conf.urls.static import static
from django.urls import path

from . import views


urlpatterns = [
    path("", views.upload),
    path("videos/<uuid:video_id>", views.show),
    path("videos/<uuid:video_id>/state", views.state),
    path("videos/<uuid:video_id>/posts/<platform>", views.post),
    path("connect/<platform>", views.connect),
    path("callback", views.connected),
    path("reports/<platform>", views.report),
    path("report/<job>", views.show_report),
    *static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT),
]
