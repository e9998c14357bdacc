"""Notifications: mail, text messages, push, chat and webhooks, each sent once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_actors.core.lazy import lazy_names

from .actors import send_bulk, send_notification


if TYPE_CHECKING:
    from .base import Allowance, Provider, Receipt, providers
    from .content import Channel, ChatMessage, Mail, Push, Sms, WebhookMessage
    from .errors import (
        NotDeliveredError,
        SignatureError,
        TargetGoneError,
        TemplateError,
    )
    from .events import DeliveryEvent, receive_events
    from .host import cancel, preferences, suppressions
    from .models import (
        Delivery,
        Recipient,
        SendBulkRequest,
        SendBulkResult,
        SendNotificationRequest,
        SendNotificationResult,
    )
    from .settings import NotificationSettings
    from .signature import sign as sign_webhook
    from .signature import verify as verify_webhook
    from .unsubscribing import unsubscribe
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            ".base": ("Allowance", "Provider", "Receipt", "providers"),
            ".content": (
                "Channel",
                "ChatMessage",
                "Mail",
                "Push",
                "Sms",
                "WebhookMessage",
            ),
            ".errors": (
                "NotDeliveredError",
                "SignatureError",
                "TargetGoneError",
                "TemplateError",
            ),
            ".events": ("DeliveryEvent",),
            ".host": (
                "cancel",
                "preferences",
                "receive_events",
                "sign_webhook",
                "suppressions",
                "unsubscribe",
                "verify_webhook",
            ),
            ".models": (
                "Delivery",
                "Recipient",
                "SendBulkRequest",
                "SendBulkResult",
                "SendNotificationRequest",
                "SendNotificationResult",
            ),
            ".settings": ("NotificationSettings",),
        },
    )


__all__ = [
    "Allowance",
    "Channel",
    "ChatMessage",
    "Delivery",
    "DeliveryEvent",
    "Mail",
    "NotDeliveredError",
    "NotificationSettings",
    "Provider",
    "Push",
    "Receipt",
    "Recipient",
    "SendBulkRequest",
    "SendBulkResult",
    "SendNotificationRequest",
    "SendNotificationResult",
    "SignatureError",
    "Sms",
    "TargetGoneError",
    "TemplateError",
    "WebhookMessage",
    "cancel",
    "preferences",
    "providers",
    "receive_events",
    "send_bulk",
    "send_notification",
    "sign_webhook",
    "suppressions",
    "unsubscribe",
    "verify_webhook",
]
