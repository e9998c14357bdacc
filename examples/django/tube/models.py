"""What the platform itself knows."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models


class Video(models.Model):
    """An upload, from before its file is here."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    title = models.CharField(max_length=100)
    job = models.CharField(max_length=36, blank=True)
    state = models.CharField(max_length=50, default="processing")
    url = models.URLField(blank=True)
    post_url = models.URLField(blank=True)

    def __str__(self) -> str:
        """Return what people call it."""
        return str(self.title)


class Account(models.Model):
    """A creator's account on a platform; its tokens are with nexus-actors."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    platform = models.CharField(max_length=20)
    account = models.CharField(max_length=100)

    class Meta:
        """One for each platform."""

        unique_together = ("owner", "platform")

    def __str__(self) -> str:
        """Return where it is, and its name there."""
        return f"{self.platform}/{self.account}"
