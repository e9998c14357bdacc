"""How figures and times are written on the pages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlsplit

from nexus_actors.core import clock
from nexus_actors.engine.excerpts import excerpt


#: What a span is told in, and up to how many of it, with the seconds of one.
UNITS: Final = (("s", 120, 1), ("min", 120, 60), ("h", 48, 3600), ("d", None, 86400))

#: How large a drawing of a queue's last minutes is, in its own units.
WIDE, HIGH = 120, 24


def span(seconds: float) -> str:
    """Return how long something takes, in one unit."""
    seconds = abs(seconds)
    if 0 < seconds < 10:  # noqa: PLR2004 - the tenths matter
        return f"{seconds:.1f} s"
    for unit, most, size in UNITS:
        if most is None or seconds < most * size:
            return f"{seconds / size:.0f} {unit}"
    raise AssertionError(seconds)


def since(instant: datetime) -> str:
    """Return how long ago something was."""
    return span(max(0.0, (clock.now() - instant).total_seconds()))


def until(instant: datetime) -> str:
    """Return in how long something will be, or by how much it is late."""
    left = (instant - clock.now()).total_seconds()
    return f"in {span(left)}" if left >= 0 else f"{span(left)} late"


def at(instant: datetime) -> str:
    """Return a time for people, to the second."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def clock_time(instant: datetime) -> str:
    """Return the time of the day, to the millisecond."""
    return f"{instant.astimezone(UTC):%H:%M:%S.%f}"[:-3]


def number(value: int) -> str:
    """Return a count with its thousands apart."""
    return f"{value:,}"


def rate(value: float) -> str:
    """Return how many a minute."""
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}"  # noqa: PLR2004 - the tenths matter


def percent(fraction: float) -> str:
    """Return a part of the whole."""
    return f"{fraction:.0%}"


def pretty(value: Any) -> str:
    """Return plain JSON for reading."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def path(value: str) -> str:
    """Return a name as one part of a URL's path."""
    return quote(value, safe="")


def is_web(url: str | None) -> bool:
    """Tell whether a link may lead there: not to a script."""
    return bool(url) and urlsplit(url or "").scheme in {"http", "https"}


def line(seen: Sequence[tuple[float, int]]) -> str:
    """Return the points of a line through what was seen, newest at the right."""
    if len(seen) < 2:  # noqa: PLR2004 - a line has two ends
        return ""
    span_s = -seen[0][0] or 1.0
    most = max(count for _, count in seen) or 1
    return " ".join(
        f"{WIDE * (1 + ago_s / span_s):.1f},{HIGH - 1 - (HIGH - 2) * count / most:.1f}"
        for ago_s, count in seen
    )


FILTERS: Final = {
    "at": at,
    "clock_time": clock_time,
    "excerpt": excerpt,
    "is_web": is_web,
    "line": line,
    "number": number,
    "path": path,
    "percent": percent,
    "pretty": pretty,
    "rate": rate,
    "since": since,
    "span": span,
    "until": until,
}
