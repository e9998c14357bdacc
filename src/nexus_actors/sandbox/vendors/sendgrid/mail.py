"""What SendGrid refuses in the body of ``POST /v3/mail/send``.

Texts and fields are those of its page of errors, or of its answers where people quote
them; some of the rarer texts are ours.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Iterator
from typing import Any, Final

from nexus_actors.sandbox.shapes import Map, Mismatch, Shape, mismatches

from .api import Error, problem


MAX_RECIPIENTS: Final = 1000
MAX_CATEGORIES: Final = 10
MAX_CATEGORY: Final = 255
MAX_GROUPS: Final = 25
MAX_BYTES: Final = 10_000
MAX_AHEAD_S: Final = 72 * 3600
POOL_NAME: Final = (2, 64)

#: Headers that belong to SendGrid.
FORBIDDEN_HEADERS: Final = frozenset(
    (
        *("x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type"),
        *("content-transfer-encoding", "to", "from", "subject", "reply-to"),
        *("cc", "bcc"),
    )
)

ADDRESS: Final = re.compile(r"[^\s@,;<>\"]+@[^\s@,;<>\"]+\.[^\s@.,;<>\"]+")
TEMPLATE_ID: Final = re.compile(
    r"d-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)

_MAILBOX: Final[Shape] = {"email": str, "name": str}
_SWITCH: Final[Shape] = {"enable": bool}

SHAPE: Final[dict[str, Shape]] = {
    "personalizations": [
        {
            "from": _MAILBOX,
            "to": [_MAILBOX],
            "cc": [_MAILBOX],
            "bcc": [_MAILBOX],
            "subject": str,
            "headers": Map(str),
            "substitutions": Map(str),
            "dynamic_template_data": dict,
            "custom_args": Map(str),
            "send_at": int,
        }
    ],
    "from": _MAILBOX,
    "reply_to": _MAILBOX,
    "reply_to_list": [_MAILBOX],
    "subject": str,
    "content": [{"type": str, "value": str}],
    "attachments": [
        {
            "content": str,
            "type": str,
            "filename": str,
            "disposition": str,
            "content_id": str,
        }
    ],
    "template_id": str,
    "sections": Map(str),
    "headers": Map(str),
    "categories": [str],
    "custom_args": Map(str),
    "send_at": int,
    "batch_id": str,
    "asm": {"group_id": int, "groups_to_display": [int]},
    "ip_pool_name": str,
    "mail_settings": {
        "bypass_list_management": _SWITCH,
        "bypass_spam_management": _SWITCH,
        "bypass_bounce_management": _SWITCH,
        "bypass_unsubscribe_management": _SWITCH,
        "footer": {"enable": bool, "text": str, "html": str},
        "sandbox_mode": _SWITCH,
    },
    "tracking_settings": {
        "click_tracking": {"enable": bool, "enable_text": bool},
        "open_tracking": {"enable": bool, "substitution_tag": str},
        "subscription_tracking": {
            "enable": bool,
            "text": str,
            "html": str,
            "substitution_tag": str,
        },
        "ganalytics": {
            "enable": bool,
            "utm_source": str,
            "utm_medium": str,
            "utm_term": str,
            "utm_content": str,
            "utm_campaign": str,
        },
    },
}


def problems(body: Any, batches: Collection[str], now: float) -> list[Error]:
    """Return all that is wrong with a mail; nothing where it is accepted.

    Args:
        body: The JSON of the request.
        batches: The batch ids that there are.
        now: In seconds since the epoch.
    """
    wrong_types = [_wrong_type(found) for found in mismatches(body, SHAPE)]
    if wrong_types:
        return wrong_types
    return [
        *_recipients(body),
        *_sender(body),
        *_subject_and_content(body),
        *_template(body),
        *_attachments(body),
        *_headers(body),
        *_labels(body),
        *_schedule(body, batches, now),
        *_settings(body),
    ]


def _wrong_type(found: Mismatch) -> Error:
    field = ".".join(map(str, found.path)) or None
    if found.expected is None:
        return problem(f"Additional property {found.path[-1]} is not allowed", field)
    text = f"Invalid type. Expected: {found.expected}, given: {found.given_type}."
    return problem(text, field)


def _recipients(body: Any) -> Iterator[Error]:
    envelopes = body.get("personalizations") or []
    field = "personalizations"
    if not envelopes:
        text = (
            "The personalizations field is required and must have at least one "
            "personalization."
        )
        yield problem(text, field, field)
    if len(envelopes) > MAX_RECIPIENTS:
        text = (
            f"The personalization block is limited to {MAX_RECIPIENTS} "
            f"personalizations per API request. You have provided {len(envelopes)} "
            "personalizations. Please consider splitting this into multiple requests "
            "and resending your request."
        )
        yield problem(text, field, field)
    total = sum(
        len(e.get(list_, [])) for e in envelopes for list_ in ("to", "cc", "bcc")
    )
    if total > MAX_RECIPIENTS:
        text = (
            f"There is a limit of {MAX_RECIPIENTS} total recipients (to + cc + bcc) "
            "per request."
        )
        yield problem(text, field, field)
    for number, envelope in enumerate(envelopes):
        yield from _envelope(f"personalizations.{number}", envelope)


def _envelope(field: str, envelope: Any) -> Iterator[Error]:
    if not envelope.get("to"):
        text = (
            "The to array is required for all personalization objects, and must have "
            "at least one email object with a valid email address."
        )
        yield problem(text, f"{field}.to", "personalizations.to")
    seen: set[str] = set()
    duplicate = False
    for list_ in ("to", "cc", "bcc"):
        for number, mailbox in enumerate(envelope.get(list_, [])):
            email = mailbox.get("email", "")
            if not ADDRESS.fullmatch(email):
                yield problem(
                    "Does not contain a valid address.",
                    f"{field}.{list_}.{number}.email",
                    f"personalizations.{list_}",
                )
            if set(mailbox.get("name", "")) & set(",;"):
                yield problem(
                    "The name may not include a semicolon or a comma.",
                    f"{field}.{list_}.{number}.name",
                    f"personalizations.{list_}",
                )
            if email.casefold() in seen and not duplicate:
                duplicate = True
                text = (
                    "Each email address in the personalization block should be unique "
                    "between to, cc, and bcc. We found the first duplicate instance "
                    f"of [{email}] in the {field}.{list_} field."
                )
                yield problem(text, field, "recipient-errors")
            seen.add(email.casefold())
    if "from" in envelope and not ADDRESS.fullmatch(envelope["from"].get("email", "")):
        yield problem("Does not contain a valid address.", f"{field}.from.email")


def _sender(body: Any) -> Iterator[Error]:
    email = body.get("from", {}).get("email")
    if not email:
        text = (
            "The from object must be provided for every email send. It is an object "
            "that requires the email parameter, but may also contain a name "
            'parameter.  e.g. {"email" : "example@example.com"}  or '
            '{"email" : "example@example.com", "name" : "Example Recipient"}.'
        )
        yield problem(text, "from.email", "from")
    elif not ADDRESS.fullmatch(email):
        text = "The from email does not contain a valid address."
        yield problem(text, "from.email", "from")
    replies = [("reply_to", body["reply_to"])] if "reply_to" in body else []
    many = body.get("reply_to_list", [])
    if replies and many:
        text = "The reply_to and reply_to_list parameters may not be used together."
        yield problem(text, "reply_to_list", "reply_to")
    if len(many) > MAX_RECIPIENTS or len({_key(m) for m in many}) < len(many):
        text = f"The reply_to_list may have up to {MAX_RECIPIENTS} unique addresses."
        yield problem(text, "reply_to_list", "reply_to")
    replies += [(f"reply_to_list.{n}", mailbox) for n, mailbox in enumerate(many)]
    for field, mailbox in replies:
        if not ADDRESS.fullmatch(mailbox.get("email", "")):
            text = "The reply_to email does not contain a valid address."
            yield problem(text, f"{field}.email", "reply_to")


def _subject_and_content(body: Any) -> Iterator[Error]:
    envelopes = body.get("personalizations") or [{}]
    template = body.get("template_id")
    if not (
        template or body.get("subject") or all(e.get("subject") for e in envelopes)
    ):
        text = (
            "The subject is required. You can get around this requirement if you use "
            "a template with a subject defined or if every personalization has a "
            "subject defined."
        )
        yield problem(text, "subject", "subject")
    content = body.get("content", [])
    if not template and not content:
        text = (
            "Unless a valid template_id is provided, the content parameter is "
            "required. There must be at least one defined content block. We typically "
            "suggest both text/plain and text/html blocks are included, but only one "
            "block is required."
        )
        yield problem(text, "content", "content")
    for number, part in enumerate(content):
        for name in ("type", "value"):
            if not part.get(name):
                text = (
                    f"The content {name} must be a string at least one character in "
                    "length."
                )
                yield problem(text, f"content.{number}.{name}", f"content.{name}")
    types = [part.get("type", "") for part in content]
    first = ("text/plain", "text/html")
    if [t for t in types if t in first] != [t for t in first if t in types]:
        text = "If present, text/plain and text/html may only be provided once."
        if len(set(types)) == len(types):
            text = (
                "If present, text/plain must be first, followed by text/html, "
                "followed by any other content."
            )
        yield problem(text, "content", "content")


def _template(body: Any) -> Iterator[Error]:
    template = body.get("template_id")
    if template is not None and not TEMPLATE_ID.fullmatch(template):
        text = f"The template_id must be a valid GUID, you provided '{template}'."
        yield problem(text, "template_id", "template_id")
    dynamic = (template or "").startswith("d-")
    for number, envelope in enumerate(body.get("personalizations", [])):
        field = f"personalizations.{number}"
        if dynamic and envelope.get("substitutions"):
            yield problem(
                "Substitutions may not be used with dynamic templating",
                f"{field}.substitutions",
                "personalizations.substitutions",
            )
        if not dynamic and envelope.get("dynamic_template_data"):
            yield problem(
                "Dynamic template data may only be used with dynamic templating",
                f"{field}.dynamic_template_data",
                "personalizations.dynamic_template_data",
            )
        for name in ("substitutions", "custom_args"):
            yield from _size(f"{field}.{name}", envelope.get(name))
    yield from _size("custom_args", body.get("custom_args"))


def _size(field: str, given: Any) -> Iterator[Error]:
    if given and len(json.dumps(given, ensure_ascii=False).encode()) > MAX_BYTES:
        name = field.rpartition(".")[2]
        yield problem(f"The {name} may not exceed {MAX_BYTES} bytes.", field, name)


def _attachments(body: Any) -> Iterator[Error]:
    for number, attachment in enumerate(body.get("attachments", [])):
        field = f"attachments.{number}"
        if not _is_base64(attachment.get("content", "")):
            text = "The attachment content must be base64 encoded."
            yield problem(text, f"{field}.content", "attachments.content")
        if not attachment.get("filename"):
            text = "The attachment filename is required."
            yield problem(text, f"{field}.filename", "attachments.filename")
        if attachment.get("type") == "":
            text = "The attachment type must be a string at least one character long."
            yield problem(text, f"{field}.type", "attachments.type")
        if attachment.get("disposition", "inline") not in {"inline", "attachment"}:
            text = "The disposition must be either 'attachment' or 'inline'."
            yield problem(text, f"{field}.disposition", "attachments.disposition")


def _headers(body: Any) -> Iterator[Error]:
    places = [("headers", body)]
    envelopes = enumerate(body.get("personalizations", []))
    places += [(f"personalizations.{n}.headers", e) for n, e in envelopes]
    for field, place in places:
        for name in place.get("headers", {}):
            if name.lower() in FORBIDDEN_HEADERS:
                text = f"The header {name} is reserved and may not be set."
                yield problem(text, f"{field}.{name}", "headers")


def _labels(body: Any) -> Iterator[Error]:
    categories = body.get("categories", [])
    if len(categories) > MAX_CATEGORIES:
        text = f"You may only provide up to {MAX_CATEGORIES} categories."
        yield problem(text, "categories", "categories")
    if len(set(categories)) < len(categories):
        yield problem("Each category must be unique.", "categories", "categories")
    if any(len(category) > MAX_CATEGORY for category in categories):
        text = f"A category may not exceed {MAX_CATEGORY} characters."
        yield problem(text, "categories", "categories")
    asm = body.get("asm")
    if asm is not None and "group_id" not in asm:
        yield problem("The asm group_id is required.", "asm.group_id", "asm")
    if asm and len(asm.get("groups_to_display", [])) > MAX_GROUPS:
        text = f"You may only display up to {MAX_GROUPS} groups."
        yield problem(text, "asm.groups_to_display", "asm.groups_to_display")
    pool = body.get("ip_pool_name")
    if pool is not None and not POOL_NAME[0] <= len(pool) <= POOL_NAME[1]:
        text = "The ip_pool_name must have from 2 to 64 characters."
        yield problem(text, "ip_pool_name", "ip_pool_name")


def _schedule(body: Any, batches: Collection[str], now: float) -> Iterator[Error]:
    times = [("send_at", body.get("send_at"))]
    envelopes = enumerate(body.get("personalizations", []))
    times += [(f"personalizations.{n}.send_at", e.get("send_at")) for n, e in envelopes]
    for field, at in times:
        if at is not None and at > now + MAX_AHEAD_S:
            text = "Scheduling more than 72 hours in advance is forbidden."
            yield problem(text, field, "send_at")
    if "batch_id" in body and body["batch_id"] not in batches:
        yield problem("invalid batch id", "batch_id", "batch_id")


def _settings(body: Any) -> Iterator[Error]:
    switched_on = [
        name.removesuffix("_management")
        for name, setting in body.get("mail_settings", {}).items()
        if name.startswith("bypass_") and setting.get("enable")
    ]
    if "bypass_list" in switched_on and len(switched_on) > 1:
        field = "mail_settings.bypass_list_management"
        text = "bypass_list_management cannot be combined with other bypass filters."
        yield problem(text, field, "mail_settings")


def _key(mailbox: Any) -> str:
    email: str = mailbox.get("email", "")
    return email.casefold()


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False
