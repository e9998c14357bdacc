"""Firebase Cloud Messaging: pushes, and the tokens of Google that they need."""

from __future__ import annotations

from .vendor import Fcm


__all__ = ["Fcm"]
