"""Where users are reached: workers ask, by NEXUS_RESOLVE_RECIPIENT."""

from __future__ import annotations

from typing import Any

import django
from django.apps import apps
from django.db import close_old_connections


if not apps.ready:  # a worker of nexus-actors knows nothing of Django
    django.setup()


def reach(user_id: str) -> dict[str, Any] | None:
    """Return a user's address; None if there is no such user."""
    from django.contrib.auth import get_user_model

    close_old_connections()  # what Django does around a request, a worker does not
    user = get_user_model().objects.filter(pk=user_id).first()
    if user is None or not user.email:
        return None
    return {"email": {"to": user.email, "name": user.get_username()}}
