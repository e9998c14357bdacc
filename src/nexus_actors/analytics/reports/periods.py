"""The periods that reports are of, and what they are compared with."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from nexus_actors.core.errors import InvalidRequestError


DAY = timedelta(days=1)


class Length(StrEnum):
    """How long a period is."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Days from *since* to *until*, both in it."""

    length: Length
    since: date
    until: date

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.until - self.since).days + 1

    @property
    def prior(self) -> Period:
        """The one that it is compared with.

        A day is compared with that weekday of the week before; a month, with the month
        before; any other period with as many days just before it.
        """
        if self.length is Length.DAY:
            return self._moved(7)
        if self.length is Length.MONTH:
            return month_of(self.since - DAY)
        return self._moved(self.days)

    def _moved(self, days: int) -> Period:
        back = timedelta(days=days)
        return Period(
            length=self.length, since=self.since - back, until=self.until - back
        )

    def to_json(self) -> dict[str, str]:
        """Return it as plain JSON types."""
        return {
            "length": self.length,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
        }


def month_of(day: date) -> Period:
    """Return the month that *day* lies in."""
    last = calendar.monthrange(day.year, day.month)[1]
    return Period(
        length=Length.MONTH, since=day.replace(day=1), until=day.replace(day=last)
    )


def week_of(day: date) -> Period:
    """Return the ISO week that *day* lies in."""
    monday = day - timedelta(days=day.weekday())
    return Period(length=Length.WEEK, since=monday, until=monday + 6 * DAY)


def period(length: Length, since: date | None, until: date | None) -> Period:
    """Return the period from *since*, or the custom one from *since* to *until*.

    Raises:
        InvalidRequestError: They do not fit.
    """
    if since is None or (until is None) is (length is Length.CUSTOM):
        raise InvalidRequestError("since: a custom period needs since and until")
    if length is Length.CUSTOM and until is not None:
        if until < since:
            raise InvalidRequestError(f"until: {until} is before {since}")
        return Period(length=length, since=since, until=until)
    return {
        Length.DAY: Period(length=Length.DAY, since=since, until=since),
        Length.WEEK: week_of(since),
        Length.MONTH: month_of(since),
    }[length]


def last_ended(length: Length, today: date) -> Period:
    """Return the last period that has ended before *today*."""
    now = period(length, today, None)
    return period(length, now.since - DAY, None)
