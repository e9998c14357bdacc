"""An SMS: what Twilio refuses, how long it is, and what becomes of it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from .api import refusal


MAX_BODY: Final = 1600
MAX_MEDIA: Final = 10
AHEAD_S: Final = (300, 35 * 86400)
VALIDITY_S: Final = (1, 36_000)

NUMBER: Final = re.compile(r"(whatsapp:)?\+[1-9]\d{1,14}")
SHORT_CODE: Final = re.compile(r"\d{5,6}")
SENDER_ID: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}")
HOST: Final = re.compile(r"[A-Za-z0-9.-]+|\[[0-9a-f:.]+\]")

#: The basic set of GSM 03.38, and the characters that take two places.
GSM: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
#: The last character that is one unit of UTF-16.
LAST_OF_PLANE: Final = "\uffff"
GSM_EXTENDED: Final = frozenset("\f^{}\\[~]|€")

#: Numbers that Twilio has set aside for tests, and the code with which each is refused.
MAGIC_TO: Final = {
    "+15005550001": 21211,
    "+15005550002": 21612,
    "+15005550003": 21408,
    "+15005550004": 21610,
    "+15005550009": 21614,
}
MAGIC_FROM: Final = {
    "+15005550001": 21212,
    "+15005550007": 21606,
    "+15005550008": 21611,
}


def segments(text: str) -> int:
    """Return how many messages the network needs for *text*."""
    if set(text) <= GSM | GSM_EXTENDED:
        sizes, one, each = [1 + (c in GSM_EXTENDED) for c in text], 160, 153
    else:
        sizes, one, each = [1 + (c > LAST_OF_PLANE) for c in text], 70, 67
    if sum(sizes) <= one:
        return 1
    count, room = 1, each
    for size in sizes:
        if size > room:  # it is not split
            count, room = count + 1, each
        room -= size
    return count


@dataclass(frozen=True, slots=True)
class Step:
    """A status that a message has from a time on; *code* says why it failed."""

    at: float
    status: str
    code: int | None = None


@dataclass(slots=True)
class Message:
    """A message that was accepted.

    Attributes:
        sender: A number, or nothing where the messaging service chooses it.
        steps: What it goes through, in the order of time; the first is at once.
    """

    sid: str
    to: str
    sender: str | None
    service: str | None
    body: str
    media: Sequence[str]
    callback: str | None
    steps: list[Step] = field(default_factory=list)

    def past(self, now: float) -> list[Step]:
        """Return the steps that lie behind it."""
        return [step for step in self.steps if step.at <= now] or self.steps[:1]

    def status(self, now: float) -> Step:
        """Return the latest of them."""
        return self.past(now)[-1]

    def sent_at(self, now: float) -> float | None:
        """Return when it was handed to the carrier, if it was."""
        times = [step.at for step in self.past(now) if step.status == "sent"]
        return times[0] if times else None

    def is_over(self, now: float) -> bool:
        """Tell whether nothing more will become of it."""
        return len(self.past(now)) == len(self.steps)

    def cancel(self, now: float) -> None:
        """Let nothing more become of it."""
        self.steps = [*self.past(now), Step(now, "canceled")]


# what is refused when it is created


def check_content(form: dict[str, list[str]]) -> None:
    """Check the text and the media of a message.

    Raises:
        Refusal: There is nothing to send, or too much.
    """
    body, media = form.get("Body", [""])[0], form.get("MediaUrl", [])
    if not (body or media or form.get("ContentSid")):
        raise refusal(21602)
    if len(body) > MAX_BODY:
        raise refusal(21617)
    if len(media) > MAX_MEDIA:
        raise refusal(21623)
    if not all(is_url(url) for url in media):
        raise refusal(21620)


def check_options(form: dict[str, list[str]]) -> None:
    """Check the callback and the validity period.

    Raises:
        Refusal: One of them is not valid.
    """
    callback = form.get("StatusCallback", [""])[0]
    if callback and not is_url(callback):
        raise refusal(21609, callback)
    validity = form.get("ValidityPeriod", ["1"])[0]
    if not validity.isascii() or not validity.isdigit():
        raise refusal(20001, "ValidityPeriod")
    if not VALIDITY_S[0] <= int(validity[:9]) <= VALIDITY_S[1]:
        raise refusal(20001, "ValidityPeriod")


def scheduled_at(form: dict[str, list[str]], now: float) -> float | None:
    """Return when a message is to be sent, or None: at once.

    Raises:
        Refusal: It cannot be scheduled, or not for that time.
    """
    kind = form.get("ScheduleType", [""])[0]
    if not kind:
        return None
    if kind != "fixed":
        raise refusal(20001, "ScheduleType")
    if not form.get("MessagingServiceSid", [""])[0]:
        raise refusal(35118)
    if not form.get("SendAt", [""])[0]:
        raise refusal(35111)
    at = _instant(form["SendAt"][0])
    if at is None or not AHEAD_S[0] <= math.ceil(at - now) <= AHEAD_S[1]:
        raise refusal(35114)
    return at


def is_url(text: str) -> bool:
    """Tell whether *text* is a web address whose host name is valid."""
    try:
        parts = urlsplit(text)
        host = parts.netloc.rpartition("@")[2]
        _ = parts.port
    except ValueError:
        return False
    name = host if host.endswith("]") else re.sub(r":\d+$", "", host)
    return parts.scheme in {"http", "https"} and bool(HOST.fullmatch(name))


def is_sender(text: str) -> bool:
    """Tell whether *text* has the form of something that can send."""
    forms = (NUMBER, SHORT_CODE, SENDER_ID)
    return any(form.fullmatch(text) for form in forms)


def _instant(text: str) -> float | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.replace(tzinfo=at.tzinfo or UTC).timestamp()
