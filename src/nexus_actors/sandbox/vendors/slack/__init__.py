"""Slack: messages by the Web API and by incoming webhooks."""

from __future__ import annotations

from .vendor import Slack


__all__ = ["Slack"]
