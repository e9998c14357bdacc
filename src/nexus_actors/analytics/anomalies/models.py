"""What the detectors return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class Kind(StrEnum):
    """What happened: to one day, or from a day on."""

    SPIKE = "spike"
    DROP = "drop"
    RISE = "rise"
    FALL = "fall"


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """Days that lie outside of what the days before let expect.

    Attributes:
        day: The day on which it shows: with the days up to this one it is found.
        since: Its first day. Of a spike or drop it is *day*; a rise or fall may have
            begun up to six days before.
        kind: `SPIKE` and `DROP` are of one day, `RISE` and `FALL` lasting.
        value: What was measured, the mean of the days from *since* to *day*.
        expected: What was expected of it.
        low: The least value that would have been usual.
        high: The largest one.
        difference: *value* less *expected*.
        ratio: *value* to *expected*; `None` where the series has negative values, or
            nothing was expected.
        confidence: How many of so many usual days lie less far out, between 0 and 1.
        history: How many days before *since* were looked at.
    """

    day: date
    since: date
    kind: Kind
    value: float
    expected: float
    low: float
    high: float
    difference: float
    ratio: float | None
    confidence: float
    history: int
