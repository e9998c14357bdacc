"""Reads what callers have: timestamps of some kind, values of some kind."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from datetime import date, datetime
from types import NoneType
from typing import Final, SupportsFloat, cast

import numpy as np
import numpy.typing as npt

from nexus_actors.core.errors import InvalidRequestError


Floats = npt.NDArray[np.float64]

WEEK: Final = 7
#: A longer gap counts as this long, and keeps its weekday: all before it is forgotten.
LONGEST_GAP: Final = 9 * WEEK
#: Types of which nothing need be asked.
PLAIN: Final = {float, int, NoneType}


def numbers(values: Iterable[SupportsFloat | None]) -> Floats:
    """Return *values* as numbers; what is unknown is NaN.

    Raises:
        InvalidRequestError: One is no finite number; names its row.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        found = values.astype(np.float64)
    else:
        told = list(values)
        if not set(map(type, told)) <= PLAIN:
            told = [number(row, value) for row, value in enumerate(told)]
        try:
            found = np.array(told, dtype=np.float64)  # None becomes NaN
        except OverflowError:
            raise InvalidRequestError("values: one is too large") from None
    if found.ndim != 1:
        raise InvalidRequestError("values: one number for each row is needed")
    if np.isinf(found).any():
        row = int(np.flatnonzero(np.isinf(found))[0])
        raise InvalidRequestError(f"values: row {row} is infinite")
    return found


def median(values: Floats) -> float:
    """Return the median of values of which all are known: numpy's own takes longer."""
    ranked, half = np.sort(values), len(values) // 2
    if len(values) % 2:
        return float(ranked[half])
    return float((ranked[half - 1] + ranked[half]) / 2)


def number(row: int, value: object) -> float:
    """Return the number *value*; `None` is NaN."""
    if value is None:
        return math.nan
    if not isinstance(value, str | bytes | bytearray):
        try:
            return float(value)  # type: ignore[arg-type] # what cannot be is refused
        except (TypeError, ValueError, OverflowError):
            pass
    raise InvalidRequestError(f"values: row {row} is {value!r:.40}, not a number")


def same_length(timestamps: Sized, values: Sized) -> None:
    """Refuse series whose columns differ in length."""
    if len(timestamps) != len(values):
        raise InvalidRequestError(
            f"there are {len(timestamps)} timestamps, but {len(values)} values"
        )


def instant(name: str, row: int, value: object) -> date:
    """Return the date or time that *value* means."""
    if type(value) is date:  # most are
        return value
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    if isinstance(value, date):
        return value
    raise InvalidRequestError(
        f"{name}: row {row} is {value!r:.40}; a date or time in ISO 8601 is needed"
    )


def ordinals_of(name: str, values: Sequence[object]) -> npt.NDArray[np.int64]:
    """Return the days of timestamps, each in its own time zone, as ordinals."""
    if set(map(type, values)) == {date}:  # most are
        dates = cast("Sequence[date]", values)
    else:
        dates = [instant(name, row, value) for row, value in enumerate(values)]
    return np.fromiter(map(date.toordinal, dates), np.int64, len(values))


def rising(ordinals: npt.NDArray[np.int64], labels: Sequence[object]) -> None:
    """Refuse timestamps that do not rise; names the first that does not."""
    wrong = np.flatnonzero(np.diff(ordinals) <= 0)
    if wrong.size:
        row = int(wrong[0]) + 1
        raise InvalidRequestError(
            f"timestamps: row {row} ({labels[row]}) does not come after row {row - 1} "
            f"({labels[row - 1]}); sort them, with one value each"
        )


@dataclass(frozen=True, slots=True)
class Daily:
    """A daily series without holes: days that were not there are NaN.

    Attributes:
        days: The ordinal of the day of each place.
        values: Its figure.
        breaks: The places at which the figure got another meaning.
    """

    days: npt.NDArray[np.int64]
    values: Floats
    breaks: list[int]


def daily(
    timestamps: Sequence[object],
    values: Iterable[SupportsFloat | None],
    breaks: Sequence[object],
) -> Daily:
    """Return a daily series, and refuse what is none."""
    figures = numbers(values)
    same_length(timestamps, figures)
    ordinals = ordinals_of("timestamps", timestamps)
    rising(ordinals, timestamps)
    known = np.flatnonzero(~np.isnan(figures))
    if not known.size:  # nothing is known of any day
        return Daily(ordinals[:0], figures[:0], [])
    ordinals, figures = ordinals[known[0] :], figures[known[0] :]
    if ordinals[-1] - ordinals[0] >= len(ordinals):
        ordinals, figures = filled(ordinals, figures)
    begun = np.searchsorted(ordinals, ordinals_of("breaks", breaks))
    return Daily(ordinals, figures, sorted(set(begun.tolist()) - {0, len(figures)}))


def filled(
    ordinals: npt.NDArray[np.int64], figures: Floats
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the days and figures with those days between that are not there."""
    steps = np.diff(ordinals, prepend=ordinals[0])
    steps = np.where(steps > LONGEST_GAP, LONGEST_GAP + steps % WEEK, steps)
    places = np.cumsum(steps)
    grid = np.full(places[-1] + 1, np.nan)
    grid[places] = figures
    after = np.searchsorted(places, np.arange(len(grid)))
    return ordinals[after] - places[after] + np.arange(len(grid)), grid
