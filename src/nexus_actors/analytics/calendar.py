"""Days and weeks of an account's time zone; a day is counted from 1970-01-01."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt


Array = npt.NDArray[np.int64]

DAY_MS: Final = 86_400_000

#: The ordinal of 1970-01-01, a Thursday.
_EPOCH: Final = date(1970, 1, 1).toordinal()
_THURSDAY: Final = 3


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone of that name.

    Raises:
        ValueError: There is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{name!r} is no time zone, such as Europe/Berlin or UTC"
        ) from None


def to_day(when: date) -> int:
    """Return the number of a date."""
    return when.toordinal() - _EPOCH


def to_date(day: int) -> date:
    """Return the date of a number."""
    return date.fromordinal(day + _EPOCH)


def day_at(ms: int, zone: str) -> int:
    """Return the day in *zone* in which an instant lies."""
    return to_day(datetime.fromtimestamp(ms / 1000, zone_of(zone)).date())


def monday_of(day: int) -> int:
    """Return the Monday of a day's ISO week."""
    return day - (day + _THURSDAY) % 7


def iso_week(day: int) -> tuple[int, int]:
    """Return the ISO year and week of a day: 2027-01-01 is in week 53 of 2026."""
    year, week, _ = to_date(day).isocalendar()
    return year, week


@lru_cache(maxsize=256)
def midnights(zone: str, first: int, last: int) -> Array:
    """Return when the days *first* to *last* begin, and when the last one ends.

    Days have 23, 24 or 25 hours.  One whose midnight does not exist begins with the
    first instant that it has; of two midnights, the first counts.
    """
    tz = zone_of(zone)
    dates = (to_date(day) for day in range(first, last + 2))
    begins = [datetime(d.year, d.month, d.day, tzinfo=tz) for d in dates]
    found = [round(at.astimezone(UTC).timestamp()) * 1000 for at in begins]
    return np.array(found, np.int64)
