"""What a person is shown of a stored message: short, and without secrets.

Messages come from anybody who can write to Redis, so nothing is taken for granted: what
is not as it should be is not known.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final, Self

from nexus_actors.core import clock
from nexus_actors.core.logs import REDACTED, SECRET_NAME, redact


#: What a message's arguments are cut down to where they are shown.
MOST_CHARS: Final = 500
MOST_ITEMS: Final = 50
MOST_LEVELS: Final = 6

#: Of a URL the part that often is a secret: all behind the host.
URL_REST: Final = re.compile(r"(https?://[^/\s?#]+)[/?#]\S*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a stored message says.  Times are UTC; ``None`` means not known.

    Attributes:
        job: The id of its job.
        attempts: How often it was tried; ``None`` if nobody can read it.
        arguments: ``args`` and ``kwargs``, cut short, without secrets.
        traceback: Where the last attempt failed, if plain dramatiq has run it.
    """

    job: str | None
    actor: str | None
    queue: str | None
    priority: int | None
    group: str | None
    attempts: int | None
    sent_at: datetime | None
    arguments: dict[str, Any] | None = field(repr=False)
    traceback: str | None = field(repr=False)

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Read what is in Redis."""
        message = read_object(body)
        options = mapping(message.get("options"))
        priority = options.get("priority")
        return cls(
            job=text(message.get("message_id")),
            actor=text(message.get("actor_name")),
            queue=text(message.get("queue_name")),
            priority=priority if type(priority) is int else None,
            group=text(options.get("group")),
            attempts=_whole(options.get("retries", 0)) if message else None,
            sent_at=instant(message.get("message_timestamp")),
            arguments=_arguments(message) if message else None,
            traceback=text(options.get("traceback"), 20_000),
        )


def _arguments(message: Mapping[str, Any]) -> dict[str, Any]:
    return {name: excerpt(message.get(name)) for name in ("args", "kwargs")}


def excerpt(value: Any, level: int = 0) -> Any:
    """Return *value*, plain JSON, short and without secrets."""
    if isinstance(value, str):
        return short(str(redact(URL_REST.sub(r"\1/…", value[: 10 * MOST_CHARS]))))
    if not isinstance(value, dict | list):
        is_odd = isinstance(value, float) and not math.isfinite(value)
        return str(value) if is_odd else value
    if level >= MOST_LEVELS:
        return "…"
    if isinstance(value, dict):
        items = islice(value.items(), MOST_ITEMS)
        shown = {short(key): _named(key, item, level + 1) for key, item in items}
        return shown | _rest(len(value))
    shown_items = [excerpt(item, level + 1) for item in value[:MOST_ITEMS]]
    return shown_items + list(_rest(len(value)))


def _named(name: str, value: Any, level: int) -> Any:
    return REDACTED if SECRET_NAME.search(name) else excerpt(value, level)


def short(words: str) -> str:
    """Return a text that is not longer than what is shown of one."""
    return _plain(words if len(words) <= MOST_CHARS else f"{words[:MOST_CHARS]}…")


def _plain(words: str) -> str:
    """Return a text without the halves of characters that JSON lets through."""
    return words.encode(errors="replace").decode()


def _rest(length: int) -> dict[str, str]:
    more = length - MOST_ITEMS
    return {f"… and {more} more": "…"} if more > 0 else {}


def read_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object that *data* is; if it is none, an empty one."""
    try:
        return mapping(json.loads(data))
    except (ValueError, RecursionError):
        return {}


def mapping(value: Any) -> dict[str, Any]:
    """Return *value* if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def text(value: Any, most: int = MOST_CHARS) -> str | None:
    """Return the end of *value* if it is a text."""
    return _plain(value[-most:]) if isinstance(value, str) and value else None


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 31 else 0


def instant(ms: Any) -> datetime | None:
    """Return the time that is *ms* milliseconds after the epoch."""
    try:
        return clock.from_ms(int(ms))
    except (TypeError, ValueError, OverflowError, OSError):
        return None
