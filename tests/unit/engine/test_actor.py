"""Actors are declared on import and wait for their broker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import dramatiq
import pytest
from dramatiq import broker as dramatiq_broker
from dramatiq.brokers.stub import StubBroker
from dramatiq.errors import Retry

from nexus_actors import (
    BrokerUnavailable,
    Cancelled,
    ConfigurationError,
    InvalidRequestError,
    MissingExtraError,
    PermanentError,
    Postponed,
    RedisBroker,
    TransientError,
    UnknownOutcomeError,
    UnsupportedFeatureError,
    jobs,
)
from nexus_actors.analytics import collect_metrics
from nexus_actors.engine.actor import as_dramatiq_understands, attached_broker
from nexus_actors.engine.connection import describe
from nexus_actors.video import process_video
from queues import make_actor


pytestmark = pytest.mark.usefixtures("no_broker")


@pytest.fixture
def stub(no_broker: None) -> StubBroker:  # noqa: ARG001 - unset it in the end
    """The host's broker, set after our actors were imported."""
    broker = StubBroker()
    dramatiq.set_broker(broker)
    return broker


def double(number: int) -> int:
    return 2 * number


def queued(broker: StubBroker, queue: str = "tests") -> list[dict[str, Any]]:
    bodies = [dramatiq.Message.decode(data) for data in broker.queues[queue].queue]
    return [message.kwargs for message in bodies]


def test_a_message_goes_to_the_broker_that_the_host_has_set(stub: StubBroker) -> None:
    message = make_actor(double).send(number=4)

    assert queued(stub) == [{"number": 4}]
    assert message.actor_name == "tests.double"


def test_a_message_follows_the_host_to_another_broker(stub: StubBroker) -> None:
    actor, other = make_actor(double), StubBroker()
    actor.send(number=1)
    dramatiq.set_broker(other)

    actor.send(number=2)

    assert queued(stub) == [{"number": 1}]
    assert queued(other) == [{"number": 2}]


def test_without_a_broker_one_is_made_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_HOST", "127.0.0.1")
    monkeypatch.setenv("REDIS_PORT", "1")

    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1 .* set REDIS_URL"):
        make_actor(double).send(number=1)

    made = dramatiq_broker.global_broker
    assert isinstance(made, RedisBroker)
    assert describe(made.client) == "127.0.0.1:1"


def test_making_the_actor_sets_no_broker() -> None:
    make_actor(double)

    assert dramatiq_broker.global_broker is None


def test_sending_declares_no_actor(stub: StubBroker) -> None:
    make_actor(double).send(number=1)

    assert not stub.actors


def test_a_wrong_field_is_named_and_nothing_is_sent(stub: StubBroker) -> None:
    with pytest.raises(
        InvalidRequestError, match="numbr: is not a known name"
    ) as caught:
        make_actor(double).send(numbr=1)

    assert isinstance(caught.value, ValueError)
    assert not stub.queues


@pytest.mark.parametrize(
    "build",
    [
        lambda actor: actor.message(number="x"),
        lambda actor: actor.message(1, 2, 3),
        lambda actor: actor.send_with_options(kwargs={"number": []}),
        lambda actor: dramatiq.group([actor.message(number=1), actor.message(nr=2)]),
        lambda actor: actor.message(number=1) | actor.message(nr=2),
    ],
    ids=["message", "too many", "options", "group", "pipeline"],
)
def test_every_way_to_make_a_message_checks_it(stub: StubBroker, build: Any) -> None:
    with pytest.raises(InvalidRequestError):
        build(make_actor(double))

    assert not any(queue.qsize() for queue in stub.queues.values())


def test_a_key_that_cannot_seal_is_told_by_its_name(
    stub: StubBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_SECRET_KEY", "short")

    with pytest.raises(ConfigurationError, match="NEXUS_SECRET_KEY: key 1 is not 32"):
        collect_metrics.send(platform="youtube", access_token="t")

    assert not stub.queues


def test_arguments_that_have_no_name_are_asked_for_by_name(stub: StubBroker) -> None:
    with pytest.raises(InvalidRequestError, match="by name, video_id=…"):
        process_video.send("v")  # type: ignore[call-arg]

    assert not stub.queues


def test_pipelines_and_groups_are_sent_without_a_declaration(stub: StubBroker) -> None:
    actor = make_actor(double)

    (actor.message(number=1) | actor.message(number=2)).run()
    dramatiq.group([actor.message(number=3), actor.message(number=4)]).run()

    assert [body["number"] for body in queued(stub)] == [1, 3, 4]
    assert not stub.actors


@pytest.mark.parametrize("option", ["priority", "dedupe_key", "group", "max_retry"])
def test_what_the_broker_cannot_do_is_refused(stub: StubBroker, option: str) -> None:
    asked: Any = {option: 1}

    with pytest.raises(
        UnsupportedFeatureError, match=f"StubBroker has no option {option}"
    ):
        make_actor(double).send_with_options(kwargs={"number": 1}, **asked)

    assert not stub.queues


@pytest.mark.usefixtures("stub")
def test_what_the_broker_can_do_is_passed_on() -> None:
    message = make_actor(double).send_with_options(
        kwargs={"number": 1}, max_retries=1, delay=timedelta(seconds=2)
    )

    assert message.options["max_retries"] == 1
    assert message.queue_name == "tests.DQ"


def test_options_that_a_broker_does_not_know_are_dropped_for_it_alone() -> None:
    bare, whole = StubBroker(middleware=[]), StubBroker()
    actor = make_actor(double, time_limit=5, slots=True)

    actor.declare_on(bare)
    on_bare = actor.options
    actor.declare_on(whole)

    assert on_bare == {}
    assert actor.options.keys() == {"throws", "time_limit"}


def test_a_permanent_error_is_never_worth_a_retry_to_any_broker() -> None:
    throws = (PermanentError, UnknownOutcomeError, Cancelled)
    assert process_video.options["throws"] == throws


def test_called_directly_an_actor_is_a_function_that_checks_its_arguments() -> None:
    actor = make_actor(double)

    assert actor(number=4) == 8
    with pytest.raises(InvalidRequestError):
        actor(number="four")


@pytest.mark.parametrize(
    ("importer", "missing", "raised"),
    [
        ("nexus_actors.video.tools", "absent", MissingExtraError),
        ("nexus_actors.video.tools", "nexus_actors.absent", ModuleNotFoundError),
        ("host.recipients", "absent", ModuleNotFoundError),
        ("nexus_actors_vimeo", "absent", ModuleNotFoundError),
    ],
)
def test_only_what_we_lack_ourselves_is_told_as_a_missing_extra(
    importer: str, missing: str, raised: type[Exception]
) -> None:
    parts: dict[str, Any] = {"__name__": importer}
    exec(f"def ask(): import {missing}", parts)

    def greet(number: int) -> None:  # noqa: ARG001 - of the body that is checked
        parts["ask"]()

    with pytest.raises(ImportError) as caught:
        make_actor(greet)(number=1)

    assert type(caught.value) is raised


def test_an_actor_that_another_job_calls_returns_its_result_to_it() -> None:
    job = jobs.Job(id="1", actor="host.other")

    with jobs.inline(job):
        assert make_actor(double)(number=4) == 8

    assert job.result is None


def test_postponing_becomes_a_retry_at_its_time() -> None:
    until = datetime.now(UTC) + timedelta(seconds=30)

    with pytest.raises(Retry, match="busy") as caught, as_dramatiq_understands():
        raise Postponed("busy", until=until)

    assert caught.value.delay == pytest.approx(30_000, abs=5_000)


def test_a_transient_error_becomes_a_retry_with_the_brokers_backoff() -> None:
    with pytest.raises(Retry, match="again") as caught, as_dramatiq_understands():
        raise TransientError("again")

    assert caught.value.delay is None


def test_the_broker_is_made_once_for_all_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")

    assert attached_broker() is attached_broker()
