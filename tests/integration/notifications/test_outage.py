"""A provider is down for ten minutes: it is left alone, and nothing is lost."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nexus_actors import Postponed, RedisBroker, RemoteUnavailableError
from nexus_actors.core import clock
from nexus_actors.core.errors import UnknownOutcomeError
from nexus_actors.engine.circuits import Circuit
from nexus_actors.notifications import connect
from nexus_actors.testing.sandbox import SandboxClient
from scale import scaled


OUTAGE_S = 600
CIRCUIT = Circuit("provider:sendgrid")

#: By how much a vendor's clock differs from ours, in seconds.
BEHIND_S = -900

#: How soon the queue tries again what has failed, in seconds.
BACKOFF_S = 5


class Time:
    """The time of the test, in seconds from its start."""

    def __init__(self) -> None:
        self.start = datetime.now(UTC).timestamp()

    def now(self) -> float:
        return clock.now().timestamp() - self.start

    def go_to(self, seconds: float) -> None:
        clock.move(
            self.start + max(seconds, self.now()) - datetime.now(UTC).timestamp()
        )


@pytest.fixture
def at(
    vendors: dict[str, str],  # noqa: ARG001 - first
    broker: RedisBroker,  # noqa: ARG001 - circuits are kept by it
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Time]:
    monkeypatch.setenv(clock.VARIABLE, str(tmp_path / "clock"))
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'nexus.db'}")
    monkeypatch.setenv("NEXUS_NOTIFICATIONS_FOLDER", str(tmp_path / "sent"))
    yield Time()
    connect.database().close()


def send(number: int) -> dict[str, Any]:
    mail = {"to": f"a{number}@example.com", "subject": "Ready", "text": "It is ready"}
    key = f"video-{number}"
    body = {"type": "email", "email": mail, "idempotency_key": key}
    return connect.send_notification(body)


def down(sandbox: SandboxClient, **more: Any) -> None:
    fault = {"action": "answer", "status": 503, "times": 1_000_000}
    sandbox.faults(fault | more)


@pytest.mark.timeout(scaled(180, full=1700))
def test_what_waits_during_an_outage_is_sent_after_it_at_a_bounded_rate(
    nexus_sandbox: SandboxClient, at: Time
) -> None:
    count, calls = scaled(30, full=5000), 0
    waiting = [(0.0, number) for number in range(count)]
    failures: Counter[int] = Counter()
    sent: list[tuple[float, float]] = []
    is_down = True
    nexus_sandbox.settings(sendgrid={"rate_limit": 2 * count})  # what is told is ours
    down(nexus_sandbox)

    while waiting:
        due, number = heapq.heappop(waiting)
        if is_down and due > OUTAGE_S:
            calls, is_down = len(nexus_sandbox.requests()), False
            nexus_sandbox.faults()
        at.go_to(due)
        before = at.now()
        try:
            send(number)
        except Postponed as error:
            heapq.heappush(waiting, (error.until.timestamp() - at.start, number))
        except RemoteUnavailableError:
            failures[number] += 1
            heapq.heappush(waiting, (at.now() + BACKOFF_S, number))
        else:
            sent.append((before, at.now()))

    arrived = [effect["details"]["to"] for effect in nexus_sandbox.truth()["sendgrid"]]
    assert len(arrived) == len({str(to) for to in arrived}) == count
    assert calls <= CIRCUIT.failures + 8  # and who tried now and then
    assert max(failures.values()) <= 3  # what a job may fail, and be tried again
    assert sent[0][0] > OUTAGE_S
    for first, later in zip(sent, sent[CIRCUIT.rate + 1 :], strict=False):
        assert later[1] - first[0] >= 1
    assert sent[-1][1] < OUTAGE_S + CIRCUIT.longest_s + 2 * count / CIRCUIT.rate + 60


def test_another_provider_takes_over_where_certainly_nothing_was_sent(
    nexus_sandbox: SandboxClient, at: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_EMAIL_PROVIDERS", "sendgrid,file")
    nexus_sandbox.faults({"action": "drop", "moment": "after"})
    with pytest.raises(UnknownOutcomeError):
        send(0)
    down(nexus_sandbox)
    for number in range(1, 10):
        [delivery] = send(number)["deliveries"]
        assert delivery["provider"] == "file"
    calls = len(nexus_sandbox.requests())
    with pytest.raises((UnknownOutcomeError, Postponed)):
        send(0)  # nobody knows, and so nobody else is asked
    at.go_to(CIRCUIT.longest_s + 1)
    nexus_sandbox.faults()
    with pytest.raises(UnknownOutcomeError):
        send(0)
    [delivery] = send(10)["deliveries"]

    assert delivery["provider"] == "sendgrid"
    assert calls <= 1 + CIRCUIT.failures
    [_, last] = nexus_sandbox.truth()["sendgrid"]
    assert last["details"]["title"] == "Ready"


def test_what_a_provider_says_of_its_limit_is_heeded_before_it_refuses(
    nexus_sandbox: SandboxClient, at: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    nexus_sandbox.settings(sendgrid={"rate_limit": 3, "rate_window_s": 60})
    nexus_sandbox.set_clock(BEHIND_S)  # whose clock is right is not known
    for number in range(3):
        send(number)
    with pytest.raises(Postponed) as blocked:
        send(3)
    wait_s = blocked.value.until.timestamp() - at.start - at.now()
    calls = len(nexus_sandbox.requests())
    monkeypatch.setenv("NEXUS_PROVIDER_RATES", '{"sendgrid": 5}')
    nexus_sandbox.settings(sendgrid={"rate_limit": 10, "rate_window_s": 60})
    at.go_to(at.now() + 62)
    nexus_sandbox.set_clock(at.now() + BEHIND_S)
    send(3)
    at.go_to(at.now() + 1)
    send(4)
    with pytest.raises(Postponed) as spread:
        send(5)

    assert calls == 3  # nobody had to be refused
    assert 50 < wait_s <= 61
    # some eight are left for a minute: less than the host's own rate gives
    assert spread.value.code == "budget"
    assert 3 < spread.value.until.timestamp() - at.start - at.now() < 12


def test_a_host_says_when_a_provider_is_left_alone(
    nexus_sandbox: SandboxClient, at: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"failures": 2, "pause_s": 7, "longest_s": 9, "rate": 3}
    monkeypatch.setenv("NEXUS_PROVIDER_CIRCUITS", json.dumps({"sendgrid": own}))
    down(nexus_sandbox)
    for number in range(2):
        with pytest.raises(RemoteUnavailableError):
            send(number)
    with pytest.raises(Postponed) as caught:
        send(2)

    assert caught.value.code == "circuit_open"
    assert 5 < caught.value.until.timestamp() - at.start - at.now() <= 7 + 1


def test_a_hosts_own_rate_holds_for_all_workers(
    at: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_PROVIDER_RATES", '{"sendgrid": 0.1}')
    at.go_to(0)
    send(1)
    with pytest.raises(Postponed) as caught:
        send(2)

    assert caught.value.code == "budget"
    assert 5 < caught.value.until.timestamp() - at.start - at.now() <= 10
