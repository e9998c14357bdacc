"""How Twilio is asked, and how it refuses."""

from __future__ import annotations

import base64
import binascii
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request

from nexus_actors.sandbox.base import Refusal


#: The texts; those of a few of the rarer codes are ours.
TEXTS: Final = {
    20001: "Invalid parameter {0}",
    20003: "Authenticate",
    20004: "Method not allowed",
    20009: "Message {0} is not yet completed, and cannot be changed",
    20404: "The requested resource {0} was not found",
    20429: "Too Many Requests",
    21211: "The 'To' number {0} is not a valid phone number.",
    21212: "The 'From' number {0} is not a valid phone number, shortcode, or "
    "alphanumeric sender ID.",
    21266: "'To' and 'From' number cannot be the same: {0}",
    21408: "Permission to send an SMS has not been enabled for the region indicated by "
    "the 'To' number: {0}.",
    21602: "Message body is required.",
    21603: "A 'From' phone number is required.",
    21604: "A 'To' phone number is required.",
    21606: "The From phone number {0} is not a valid, SMS-capable inbound phone number "
    "or short code for your account.",
    21608: "The number {0} is unverified. Trial accounts cannot send messages to "
    "unverified numbers; verify {0} at twilio.com/user/account/phone-numbers/verified, "
    "or purchase a Twilio number to send messages to unverified numbers",
    21609: "The 'StatusCallback' URL {0} is not a valid URL.",
    21610: "Attempt to send to unsubscribed recipient",
    21611: "This 'From' number has exceeded the maximum number of queued messages",
    21612: "The 'To' phone number: {0}, is not currently reachable using the 'From' "
    "phone number: {1} via SMS.",
    21614: "'To' number: {0}, is not a valid mobile number",
    21617: "The concatenated message body exceeds the 1600 character limit",
    21620: "Invalid media URL(s)",
    21623: "Number of media files exceeds allowed limit",
    21635: "'To' number: {0}, cannot be a landline",
    21659: "'From' {1} is not a Twilio phone number or Short Code country mismatch",
    21701: "The Messaging Service Sid {0} is invalid.",
    21910: "Invalid From and To pair. From and To should be of the same channel",
    30409: "Message {0} is not scheduled, and cannot be canceled",
    35111: "You must indicate SendAt timestamp if ScheduleType is 'fixed'.",
    35114: "SendAt time must be between 300 seconds and 35 days (3024000 seconds) in "
    "the future, inclusive.",
    35118: "MessagingServiceSid is required to schedule a message",
}

#: The status of the answer, where it is not 400.
STATUSES: Final = {
    20003: 401,
    20004: 405,
    20009: 409,
    20404: 404,
    20429: 429,
    30409: 409,
}


def refusal(code: int, *named: str) -> Refusal:
    """Return the answer for a code; *named* is what its text names."""
    status, text = STATUSES.get(code, 400), TEXTS.get(code, "The message was refused")
    body = {
        "code": code,
        "message": text.format(*named),
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    headers = {}
    if code == 20003:  # noqa: PLR2004
        body["detail"] = "Your AccountSid or AuthToken was incorrect."
        headers["WWW-Authenticate"] = 'Basic realm="Twilio API"'
    return Refusal(status, body, headers)


def credentials(request: Request) -> tuple[str, str]:
    """Return the user and the password of a request; empty ones where it has none."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(value).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return user, password


def form(body: bytes) -> dict[str, list[str]]:
    """Return the fields of a form, also the empty ones."""
    return parse_qs(body.decode(errors="replace"), keep_blank_values=True)
