"""Metrics as they are declared, and as running code tells them.

    MAILS = counter("nexus_mails_total", "Mails", outcome=("accepted", "failed"))
    MAILS.inc(outcome="accepted")

The values of a label are a closed list; another value is told as ``other``, so that no
text from outside makes a series.  Telling costs about a microsecond, needs neither
Redis nor prometheus_client, and does nothing in a process that has no recorder: a
thread of a worker process that writes once a second what was told.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar


#: How the gauges of several processes become one: the sum over those that live; the
#: greatest, or the least, that any has told.
Mode = Literal["livesum", "max", "min"]

#: Where a metric is kept: in Redis, by each worker process, by whoever answers.
Source = Literal["redis", "workers", "answer"]

#: What stands for a value that is not in the list.
OTHER: Final = "other"

#: The values of labels that are known only at run time: queues, and actors.
OPEN: Final = None

Values = Collection[str] | None

#: Upper bounds for what takes from moments to hours, in seconds.
DURATIONS: Final = (
    *(0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
    *(600.0, 1800.0, 3600.0, 7200.0),
)


@dataclass(frozen=True, slots=True, eq=False)
class Instrument:
    """A metric.

    Attributes:
        name: As it is told, with its unit, and ``_total`` if it counts.
        meaning: One line for operators.
        labels: The names of its labels, with the values that each may have.
    """

    name: str
    meaning: str
    labels: Mapping[str, Values]
    source: Source = "workers"

    def _tell(self, labels: Mapping[str, str], value: float) -> None:
        if recording.is_set():
            told.append((self, self.values_of(labels), value))

    def values_of(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        """Return the values in the order of the labels; unknown ones as ``other``.

        Raises:
            ValueError: Just these labels are needed, and others were given.
        """
        if labels.keys() != self.labels.keys():
            raise ValueError(f"{self.name} has the labels {', '.join(self.labels)}")
        return tuple(
            labels[name] if known is None or labels[name] in known else OTHER
            for name, known in self.labels.items()
        )


@dataclass(frozen=True, slots=True, eq=False)
class Counter(Instrument):
    """What only grows."""

    def inc(self, amount: float = 1, **labels: str) -> None:
        """Count *amount* more."""
        self._tell(labels, amount)


@dataclass(frozen=True, slots=True, eq=False)
class Gauge(Instrument):
    """What goes up and down."""

    mode: Mode = "livesum"

    def set(self, value: float, **labels: str) -> None:
        """Tell what it is now."""
        self._tell(labels, value)


@dataclass(frozen=True, slots=True, eq=False)
class Histogram(Instrument):
    """What has a distribution; *buckets* are the upper bounds that it is told by."""

    buckets: tuple[float, ...] = DURATIONS

    def observe(self, value: float, **labels: str) -> None:
        """Tell of one more."""
        self._tell(labels, value)


#: What was told and is not written yet.
told: deque[tuple[Instrument, tuple[str, ...], float]] = deque()

#: Set while this process has a recorder.
recording = threading.Event()

#: Every metric, by name.
instruments: dict[str, Instrument] = {}

AnyInstrument = TypeVar("AnyInstrument", bound=Instrument)


def counter(
    name: str, meaning: str, *, source: Source = "workers", **labels: Values
) -> Counter:
    """Declare what only grows; its name ends in ``_total``."""
    return _declare(Counter(name, meaning, labels, source))


def gauge(
    name: str,
    meaning: str,
    *,
    source: Source = "workers",
    mode: Mode = "livesum",
    **labels: Values,
) -> Gauge:
    """Declare what goes up and down."""
    return _declare(Gauge(name, meaning, labels, source, mode))


def histogram(
    name: str,
    meaning: str,
    *,
    buckets: tuple[float, ...] = DURATIONS,
    **labels: Values,
) -> Histogram:
    """Declare what has a distribution."""
    return _declare(Histogram(name, meaning, labels, buckets=buckets))


def _declare(instrument: AnyInstrument) -> AnyInstrument:
    name = instrument.name
    if name in instruments:
        raise ValueError(f"metric {name} is declared twice")
    if isinstance(instrument, Counter) != name.endswith("_total"):
        raise ValueError(f"metric {name}: counters, and no others, end in _total")
    instruments[name] = instrument
    return instrument


# Runs: told of every message, and therefore in a way of their own

DURATION: Final = histogram(
    "nexus_message_duration_seconds",
    "How long a run of a message took",
    queue=OPEN,
    actor=OPEN,
)
WAIT: Final = histogram(
    "nexus_message_wait_seconds",
    "How long a message waited: from when it could run until it did",
    queue=OPEN,
    actor=OPEN,
)
IN_PROGRESS: Final = gauge(
    "nexus_messages_in_progress",
    "Messages that the worker processes run just now",
    queue=OPEN,
    actor=OPEN,
)
LAST_SUCCESS: Final = gauge(
    "nexus_actor_last_success_timestamp_seconds",
    "When a message of the actor was last done, in seconds since the epoch",
    mode="max",
    actor=OPEN,
)

#: A run that has ended: its queue and actor; since when it could run, in ms since the
#: epoch, as far as its message tells; when it began and ended, monotonic, in seconds;
#: whether its message is done.
Run = tuple[str, str, Any, float, float, bool]

#: The runs that have ended and are not written yet; noted while `recording` is set.
runs: Final[deque[Run]] = deque()
