"""The vendors, one module or package each."""

from __future__ import annotations

from typing import Any, Final

from nexus_actors.sandbox.base import Vendor

from .fcm import Fcm
from .sendgrid import SendGrid
from .slack import Slack
from .twilio import Twilio
from .facebook import Facebook
from .instagram import Instagram
from .tiktok import TikTok
from .webhook import WebhookReceiver
from .youtube import YouTube


#: All of them; a name here is all that a new module needs.
VENDORS: Final[tuple[type[Vendor[Any]], ...]] = (
    Fcm,
    SendGrid,
    Slack,
    Twilio,
    WebhookReceiver,
    WebhookReceiver,
    YouTube,
    TikTok,
    Instagram,
    Facebook,
)
