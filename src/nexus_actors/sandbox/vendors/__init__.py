"""The vendors, one module or package each."""

from __future__ import annotations

from typing import Any, Final

from nexus_actors.sandbox.base import Vendor

from .facebook import Facebook
from .fcm import Fcm
from .instagram import Instagram
from .sendgrid import SendGrid
from .slack import Slack
from .tiktok import TikTok
from .twilio import Twilio
from .webhook import WebhookReceiver
from .youtube import YouTube


#: All of them; a name here is all that a new module needs.
VENDORS: Final[tuple[type[Vendor[Any]], ...]] = (
    Facebook,
    Fcm,
    Instagram,
    SendGrid,
    Slack,
    TikTok,
    Twilio,
    WebhookReceiver,
    YouTube,
)
