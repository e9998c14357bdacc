"""Circuits: who is down is left alone for a while, by all workers at once.

A circuit is known by its key, such as ``provider:sendgrid``.  After some failures in a
row it opens: nothing is called, and what wanted to is run again later, which costs no
attempt.  When the pause is over, one caller tries; if that fails, the pause doubles.
Once a try succeeds, those who waited come back one by one, first come first served, at
a rate that the other end can bear::

    with circuits.through(Circuit("provider:sendgrid")):
        send(mail)

While it is closed, a circuit costs one question to Redis in a second.  On a broker that
is not ours, or without one, and while Redis does not answer, every circuit is closed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal
from uuid import uuid4
from weakref import WeakKeyDictionary

import redis

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    AuthorizationError,
    BrokerUnavailable,
    ConfigurationError,
    PermanentError,
    Postponed,
    RemoteUnavailableError,
    UnknownOutcomeError,
)
from nexus_actors.core.logs import get_logger

from . import jobs
from .budgets import Budget, take


if TYPE_CHECKING:
    from .broker import RedisBroker

log = get_logger(__name__)

#: How long a circuit that was closed is taken for closed, in seconds.
LOOK_S: Final = 1.0

#: How soon to come again while another tries.
BUSY: Final = timedelta(seconds=2)

#: Of how many circuits a process remembers that they are closed.
MOST_SEEN: Final = 10_000

#: The code of a `Postponed` with which a vendor has asked to wait.
LIMITED: Final = "rate_limited"

_Step = Literal["enter", "failed", "succeeded", "block", "leave"]


@dataclass(frozen=True, slots=True)
class Circuit:
    """What fails together.

    Attributes:
        key: Such as ``provider:sendgrid``; in clear in Redis.
        failures: How many in a row open it.
        pause_s: How long it is open the first time, in seconds; doubles each time.
        longest_s: How long it is open at most.
        probe_s: After how long somebody who tries and tells nothing has died: longer
            than a call may take.
        rate: How many of those who waited come back a second.
    """

    key: str
    failures: int = 5
    pause_s: float = 30
    longest_s: float = 300
    probe_s: float = 60
    rate: int = 20

    @property
    def row(self) -> Budget:
        """The budget in whose row those wait who find it open."""
        return Budget(f"circuit:{self.key}", limit=self.rate, window_s=1)


@dataclass(slots=True)
class _Seen:
    """What a process knows of a circuit.

    Attributes:
        closed_until: For how long it is taken for closed; monotonic, in seconds.
        failing: Whether calls have failed of late: the next success is told at once.
        succeeded: Whether a call has since the others were told.
    """

    closed_until: float = 0.0
    failing: bool = False
    succeeded: bool = False


_known: WeakKeyDictionary[RedisBroker, dict[str, _Seen]] = WeakKeyDictionary()


@contextmanager
def through(
    circuit: Circuit,
    *,
    part: str = "",
    holder: str | None = None,
    broker: RedisBroker | None = None,
) -> Iterator[None]:
    """Make the call that is the body, unless *circuit* is open; hear what came of it.

    It has failed if it raises `RemoteUnavailableError`, `UnknownOutcomeError` or
    `AuthorizationError`; `Postponed` with the code ``rate_limited`` leaves the other
    end alone until its time; any other refusal is an answer.

    Args:
        circuit: What the call belongs to.
        part: Of what the circuit guards, such as an account: failures of one part count
            as one, so that it cannot shut out the others.
        holder: Who waits, if not the running job.
        broker: Whose circuits; by default those of the broker in use, if it is ours.

    Raises:
        Postponed: It is open; the body has not begun.
    """
    enter(circuit, holder=holder, broker=broker)
    try:
        yield
    except BaseException as error:
        heard(circuit, error, part=part, broker=broker)
        raise
    succeeded(circuit, broker=broker)


def heard(
    circuit: Circuit,
    error: BaseException,
    *,
    part: str = "",
    broker: RedisBroker | None = None,
) -> None:
    """Tell what a call came to after `enter`, as `through` does."""
    match error:
        case RemoteUnavailableError() | UnknownOutcomeError() | AuthorizationError():
            failed(circuit, part=part, broker=broker)
        case Postponed(code=code) if code == LIMITED:
            block(circuit, until=error.until, broker=broker)
        case ConfigurationError():
            leave(circuit, broker=broker)
        case PermanentError():
            succeeded(circuit, broker=broker)
        case _:
            leave(circuit, broker=broker)


def enter(
    circuit: Circuit, *, holder: str | None = None, broker: RedisBroker | None = None
) -> None:
    """Return if a call may be made now; what came of it must be told.

    Raises:
        Postponed: The circuit is open, or others are first.
    """
    broker = broker or _own()
    if broker is None:
        return
    seen = _seen(broker, circuit)
    if time.monotonic() < seen.closed_until:
        return
    job = jobs.running()
    holder = holder or (job.id if job else str(uuid4()))
    state, number = _step(broker, circuit, "enter", int(seen.succeeded), holder)
    seen.succeeded = False
    if state == "closed":
        seen.closed_until, seen.failing = time.monotonic() + LOOK_S, number > 0
    elif state == "busy":
        raise _postponed(circuit, clock.now() + BUSY)
    elif state in {"open", "turn"}:
        wait_ms = _place(broker, circuit, holder)
        until = max(number, clock.now_ms() + wait_ms)
        if state == "open" or wait_ms:
            raise _postponed(circuit, clock.from_ms(until))


def failed(
    circuit: Circuit, *, part: str = "", broker: RedisBroker | None = None
) -> None:
    """Tell that a call has failed for a reason that others would meet, too."""
    broker = broker or _own()
    if broker is None:
        return
    _seen(broker, circuit).closed_until = 0.0
    state, until_ms = _step(broker, circuit, "failed", part)
    if state == "opened":
        until = clock.from_ms(until_ms).isoformat()
        log.warning("circuit.opened", circuit=circuit.key, until=until)


def succeeded(circuit: Circuit, *, broker: RedisBroker | None = None) -> None:
    """Tell that a call was answered."""
    broker = broker or _own()
    if broker is None:
        return
    seen = _seen(broker, circuit)
    if seen.closed_until and not seen.failing:
        seen.succeeded = True  # told with the next question
    else:
        _step(broker, circuit, "succeeded")
        seen.failing = False


def block(
    circuit: Circuit, *, until: datetime, broker: RedisBroker | None = None
) -> None:
    """Leave the other end alone until a time that it has named."""
    broker = broker or _own()
    if broker is None:
        return
    _seen(broker, circuit).closed_until = 0.0
    _step(broker, circuit, "block", clock.to_ms(until))


def leave(circuit: Circuit, *, broker: RedisBroker | None = None) -> None:
    """Let another one try: no call was made."""
    broker = broker or _own()
    if broker is not None and not _seen(broker, circuit).closed_until:
        _step(broker, circuit, "leave")


def _postponed(circuit: Circuit, until: datetime) -> Postponed:
    return Postponed(
        f"{circuit.key} has failed for others and is left alone for now",
        code="circuit_open",
        until=until,
    )


def _place(broker: RedisBroker, circuit: Circuit, holder: str) -> int:
    """Return how long to wait in the row, in ms."""
    try:
        return take(circuit.row, holder=holder, broker=broker)
    except BrokerUnavailable:
        return 0


def _step(
    broker: RedisBroker, circuit: Circuit, step: _Step, *more: object
) -> tuple[str, int]:
    ms = (circuit.pause_s, circuit.longest_s, circuit.probe_s)
    asked = (circuit.key, circuit.row.key, circuit.failures)
    times = [round(seconds * 1000) for seconds in ms]
    try:
        state, until = broker.run(
            "circuit", step, clock.now_ms(), *asked, *times, *more
        )
    except redis.RedisError as error:
        log.warning("circuit.not_asked", reason=type(error).__name__)
        return "closed", 0
    return state.decode(), int(until)


def _seen(broker: RedisBroker, circuit: Circuit) -> _Seen:
    known = _known.setdefault(broker, {})
    if len(known) > MOST_SEEN:
        known.clear()
    return known.setdefault(circuit.key, _Seen())


def _own() -> RedisBroker | None:
    from dramatiq import broker as dramatiq_broker

    from .broker import RedisBroker

    broker = dramatiq_broker.global_broker
    return broker if isinstance(broker, RedisBroker) else None
