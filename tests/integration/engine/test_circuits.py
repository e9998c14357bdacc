"""Who is down is left alone by all workers, and those who waited come back in turn."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from nexus_actors import (
    AuthorizationError,
    Postponed,
    RedisBroker,
    RejectedError,
    RemoteUnavailableError,
    UnknownOutcomeError,
)
from nexus_actors.core import clock
from nexus_actors.engine import circuits
from nexus_actors.engine.circuits import Circuit, through
from nexus_actors.testing.reply_proxy import ReplyProxy
from queues import MakeBroker
from scale import scaled


CIRCUIT = Circuit("provider:mail", failures=3, pause_s=30, longest_s=100, rate=20)


class Time:
    """The time of the test, in seconds from its start."""

    def __init__(self) -> None:
        self._start = time.time()

    def go_to(self, seconds: float) -> None:
        clock.move(self._start + seconds - time.time())

    def now(self) -> float:
        return clock.now().timestamp() - self._start

    def of(self, error: Postponed) -> float:
        return error.until.timestamp() - self._start


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Time]:
    monkeypatch.setenv("NEXUS_CLOCK_FILE", str(tmp_path / "clock"))
    moment = Time()
    moment.go_to(0)
    yield moment
    monkeypatch.delenv("NEXUS_CLOCK_FILE")


def call(broker: RedisBroker, error: Exception | None = None, holder: str = "") -> None:
    """Make a call that comes to *error*."""
    with through(CIRCUIT, broker=broker, holder=holder or None):
        if error:
            raise error


def fail(broker: RedisBroker, error: Exception | None = None) -> None:
    error = error or RemoteUnavailableError("down")
    with pytest.raises(type(error)):
        call(broker, error)


def put_off(broker: RedisBroker, holder: str = "") -> Postponed:
    with pytest.raises(Postponed) as caught:
        call(broker, holder=holder)
    return caught.value


def test_after_failures_in_a_row_nobody_calls_until_one_has_tried(
    make_broker: MakeBroker, at: Time
) -> None:
    here, there = make_broker(), make_broker()
    fail(here)
    fail(there, UnknownOutcomeError("lost"))
    fail(here, RejectedError("an answer"))  # which ends the row
    fail(there)
    fail(here, AuthorizationError("unknown"))
    fail(here)

    for broker in (here, there):
        assert put_off(broker).code == "circuit_open"
    assert at.of(put_off(here)) == pytest.approx(30, abs=1)
    at.go_to(31)
    with through(CIRCUIT, broker=here):  # tries
        assert 31 < at.of(put_off(there)) < 35
        at.go_to(40)  # those of before do not come
    call(there)

    at.go_to(41)
    fail(here)
    at.go_to(42)
    call(there)


def test_the_pause_doubles_up_to_a_limit_and_begins_anew(
    broker: RedisBroker, at: Time
) -> None:
    for _ in range(3):
        fail(broker)
    now, pauses = 0.0, []
    for _ in range(4):
        until = at.of(put_off(broker, holder="one"))
        pauses.append(until - now)
        now = until + 1
        at.go_to(now)
        fail(broker)

    assert pauses == pytest.approx([30, 60, 100, 100], abs=2)


def test_who_tries_and_dies_is_not_waited_for_for_ever(
    broker: RedisBroker, at: Time
) -> None:
    for _ in range(3):
        fail(broker)
    at.go_to(31)
    circuits.enter(CIRCUIT, broker=broker)  # and tells nothing

    assert at.of(put_off(broker)) < 35
    at.go_to(31 + CIRCUIT.probe_s + 1)
    call(broker)


def test_an_asked_for_pause_holds_for_all(make_broker: MakeBroker, at: Time) -> None:
    here, there = make_broker(), make_broker()
    until = clock.now() + timedelta(seconds=50)
    fail(here, Postponed("too many", code="rate_limited", until=until))

    assert 49 < at.of(put_off(there)) < 52
    at.go_to(51)
    call(there)


def test_those_who_waited_come_back_in_turn_at_a_bounded_rate(
    make_broker: MakeBroker, at: Time
) -> None:
    brokers = [make_broker(), make_broker()]
    for _ in range(3):
        fail(brokers[0])
    count = scaled(60, full=500)
    waiting = {
        f"job-{n}": at.of(put_off(brokers[n % 2], f"job-{n}")) for n in range(count)
    }
    came: list[tuple[float, float]] = []
    while waiting:
        name, due = min(waiting.items(), key=lambda item: item[1])
        at.go_to(max(due, at.now()))
        del waiting[name]
        before = at.now()
        try:
            call(brokers[0], holder=name)
        except Postponed as error:
            waiting[name] = at.of(error)
            continue
        came.append((before, at.now()))
        if len(came) == 5:  # others, who knew nothing of it, come all at once
            waiting |= {f"job-{n}": due for n in range(count, 2 * count)}

    assert len(came) == 2 * count
    assert came[0][0] >= 29
    for first, later in zip(came, came[CIRCUIT.rate + 1 :], strict=False):
        assert later[1] - first[0] >= 1  # of those that are more than a second's worth
    assert came[-1][1] - came[0][0] < 4 * count / CIRCUIT.rate + 60


def test_one_part_that_fails_over_and_over_shuts_out_nobody(
    broker: RedisBroker,
) -> None:
    for part in ("a", "a", "a", "a", "b"):
        with (
            pytest.raises(RemoteUnavailableError),
            through(CIRCUIT, part=part, broker=broker),
        ):
            raise RemoteUnavailableError("down")
    with (
        pytest.raises(RemoteUnavailableError),
        through(CIRCUIT, part="c", broker=broker),
    ):
        raise RemoteUnavailableError("down")

    put_off(broker)


def test_a_circuit_that_cannot_be_asked_is_closed(
    make_broker: MakeBroker, redis_url: str
) -> None:
    with ReplyProxy(redis_url) as proxy:
        broker = make_broker(url=proxy.url)
        for _ in range(4):
            proxy.lose_reply_to(broker.run.sha("circuit").encode(), times=2)
            fail(broker)
        assert proxy.lost == 8

    put_off(make_broker())  # what it told was heard


def test_without_our_broker_every_circuit_is_closed(no_broker: None) -> None:  # noqa: ARG001 - none is in use
    for _ in range(5):
        with pytest.raises(RemoteUnavailableError), through(CIRCUIT):
            raise RemoteUnavailableError("down")
    with through(CIRCUIT):
        pass
