"""Twilio: messages by SMS, and signed callbacks that tell what became of them."""

from __future__ import annotations

from .vendor import Twilio


__all__ = ["Twilio"]
