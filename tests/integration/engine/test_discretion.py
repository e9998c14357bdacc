"""What dramatiq's own logs tell of a message."""

from __future__ import annotations

import logging

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker

from nexus_actors import PermanentError, RedisBroker, TransientError
from queues import MakeBroker, make_actor, settled, working


SECRET = "s3cr3t-t0k3n"


@pytest.mark.parametrize("kind", ["ours", "stub"])
def test_the_body_of_a_message_of_ours_is_in_no_log_whatever_becomes_of_it(
    kind: str, make_broker: MakeBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    broker = make_broker() if kind == "ours" else StubBroker()

    def succeed(text: str) -> None:
        assert text == SECRET

    def refuse(text: str) -> None:
        raise PermanentError(f"no: {len(text)}")

    def stumble(text: str) -> None:
        raise TransientError(f"not now: {len(text)}")

    def break_(text: str) -> None:
        raise KeyError(len(text))

    def greet(text: str) -> None:
        assert text == "a host's own"

    bodies = (succeed, refuse, stumble, break_)
    actors = [make_actor(body, max_retries=0) for body in bodies]
    for actor in actors:
        actor.declare_on(broker)
    hosts = dramatiq.actor(broker=broker, queue_name="tests")(greet)

    with working(broker):
        sent = [actor.send(text=SECRET) for actor in actors]
        hosts.send("a host's own")
        if isinstance(broker, RedisBroker):
            settled(broker)
        else:
            broker.join("tests", fail_fast=False)

    assert "a host's own" in caplog.text
    assert "Failed to process message tests.break_(" in caplog.text
    assert all(message.message_id in caplog.text for message in sent)
    assert SECRET not in caplog.text
