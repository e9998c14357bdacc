"""Quiet hours: when a person is left alone, by their own clock."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def check_zone(name: str) -> str:
    """Return *name* if it is a time zone.

    Raises:
        ValueError: It is none.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is no time zone, such as Europe/Berlin") from None
    return name


def quiet_until(now: datetime, zone: str, hours: tuple[time, time]) -> datetime | None:
    """Return when the quiet hours end that *now* lies in; ``None`` outside of them.

    Hours that end earlier than they begin go past midnight.  Where the clock is set
    forward over an end, they end with the jump; where it is set back, they begin with
    the first and end with the second of two equal times.
    """
    begin, end = hours
    if begin == end:
        return None
    where = ZoneInfo(zone)
    today = now.astimezone(where).date()
    for day in (today - timedelta(days=1), today):
        last = day + timedelta(days=1) if end < begin else day
        begins = _instant(datetime.combine(day, begin), where, fold=0)
        ends = _instant(datetime.combine(last, end), where, fold=1)
        if begins <= now < ends:
            return ends
    return None


def _instant(wall: datetime, zone: ZoneInfo, *, fold: int) -> datetime:
    """Return when a clock in *zone* shows *wall*, or jumps over it."""
    first, second = (
        wall.replace(tzinfo=zone, fold=each).astimezone(UTC) for each in (0, 1)
    )
    if first <= second:
        return second if fold else first
    # in a gap: by the offset from before it is later than by the one from after it
    low, high = second, first
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)
