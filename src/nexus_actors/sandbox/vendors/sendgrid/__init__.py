"""SendGrid: mails, lists of suppressed addresses, and signed events."""

from __future__ import annotations

from .vendor import SendGrid


__all__ = ["SendGrid"]
