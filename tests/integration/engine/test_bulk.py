"""Many messages in one step: the same as one by one, but quicker."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any, ClassVar

import dramatiq
import pytest
from dramatiq import Message

from nexus_actors import InvalidRequestError, RedisBroker
from nexus_actors.engine.broker import BATCH
from queues import MakeBroker, make_actor, working


Sent = tuple[str, int, str, int | None]


def work(number: int = 0) -> int:
    return number


def run_again() -> None:
    pass


def messages_of(sent: list[Sent], *, track: bool) -> list[Message[Any]]:
    actor = make_actor(work, track=track)
    return [
        actor.message_with_options(priority=priority, group=group or None).copy(
            message_id=name, message_timestamp=1
        )
        for name, priority, group, _ in sent
    ]


def waiting(broker: RedisBroker) -> dict[str, Any]:
    """Return all that Redis has of the messages themselves."""
    left: dict[str, Any] = {}
    for key in sorted(broker.client.keys(f"{broker.namespace}:*")):
        name = key.decode().partition(":")[2]
        if name.startswith(("job:", "events", "__heartbeats__", "__schedule__.wake")):
            continue  # of records, of who works here, and of what was due first
        kind = broker.client.type(key)
        if kind == b"hash":
            fields: dict[Any, Any] = broker.client.hgetall(key)
            left[name] = {
                field: value.replace(b'"track":false', b'"track":true')
                for field, value in fields.items()
            }
        elif kind == b"list":
            left[name] = broker.client.lrange(key, 0, -1)
        elif kind == b"set":
            left[name] = broker.client.smembers(key)
        else:
            left[name] = broker.client.zrange(key, 0, -1, withscores=True)
    return left


@pytest.mark.parametrize("seed", range(5))
def test_what_is_untracked_is_stored_in_bulk_as_others_are_one_by_one(
    make_broker: MakeBroker, seed: int
) -> None:
    """Ids that are known, wait already or come twice among them."""
    chance = random.Random(seed)
    names = [f"id-{number}" for number in range(60)]
    known = [
        (name, 5, "", chance.choice([None, 60_000])) for name in chance.sample(names, 9)
    ]
    sent: list[Sent] = [
        (
            chance.choice(names),
            chance.choice([0, 5, 5, 5, 9]),
            chance.choice(["", "", "a", "b"]),
            None,
        )
        for _ in range(90)
    ]
    one, bulk = make_broker(redis_namespace="one"), make_broker(redis_namespace="bulk")
    for broker in (one, bulk):
        for each in known:
            broker.enqueue_many(messages_of([each], track=True), delay=each[3])
        broker.client.delete(f"{broker.namespace}:tests.wake")

    for message in messages_of(sent, track=True):
        one.enqueue(message)
    bulk.enqueue_many(messages_of(sent, track=False))

    found, expected = waiting(bulk), waiting(one)
    assert len(found["tests.msgs"]) > 20
    for left in (found, expected):  # when a job is due differs by the ms between
        for name in [name for name in left if name.startswith("__schedule__")]:
            left[name] = len(left[name])
    assert found == expected


def test_a_message_is_stored_as_dramatiq_does_it_though_its_arguments_look_alike(
    broker: RedisBroker,
) -> None:
    """In bulk the texts of all are made at once, and parted."""
    rows = [{"a": 1}, {"queue_name": 'x"},{"queue_name":'}, {"é": ["\u202e", None]}]
    messages: list[Message[Any]] = [
        Message(
            queue_name="tests",
            actor_name="any",
            args=(number,),
            kwargs={"rows": rows[: number % 4]},
            options={"track": False},
        )
        for number in range(BATCH + 7)
    ]

    stored = broker.enqueue_many(messages)

    found = broker.client.hgetall(f"{broker.namespace}:tests.msgs")
    assert found == {each.message_id.encode(): each.encode() for each in stored}
    assert broker.client.lrange(f"{broker.namespace}:tests", 0, -1) == [
        each.message_id.encode() for each in messages
    ]


def test_nothing_is_stored_if_the_last_is_not_what_it_is_to_be(
    broker: RedisBroker,
) -> None:
    right = messages_of([("a", 5, "", None)] * (BATCH + 1), track=False)
    wrong = right[0].copy(options={"priority": 11})

    with pytest.raises(InvalidRequestError, match="priority: 11"):
        broker.enqueue_many([*right, wrong])

    assert broker.client.keys(f"{broker.namespace}:tests*") == []


def test_what_goes_with_each_of_many_is_its_own(broker: RedisBroker) -> None:
    """Though a host uses one object for the options of all, and changes it."""
    named = make_actor(work, group=lambda body: f"g{body['number'] % 2}")
    plain = make_actor(run_again)
    shared: dict[str, Any] = {}

    def made() -> Iterator[Message[Any]]:
        yield from (named.message(number) for number in range(3))
        for priority in (1, 1, 9, None):
            shared["priority"] = priority
            message = plain.message()
            vars(message)["options"] = shared
            yield message

    stored = broker.enqueue_many(made())

    kept = [
        (each.options.get("group"), each.options.get("priority")) for each in stored
    ]
    assert kept[:3] == [("g0", None), ("g1", None), ("g0", None)]
    assert kept[3:] == [(None, 1), (None, 1), (None, 9), (None, None)]


def test_arguments_that_hold_themselves_are_refused_by_name(
    broker: RedisBroker,
) -> None:
    endless: list[Any] = []
    endless.append(endless)
    messages: list[Message[Any]] = [
        Message("tests", "any", args=(each,), kwargs={}, options={})
        for each in (1, endless)
    ]

    with pytest.raises(ValueError, match="Circular reference"):
        broker.enqueue_many(messages)

    assert broker.client.keys(f"{broker.namespace}:tests*") == []


class Shouting(dramatiq.Encoder):
    """What a host has put in place of JSON."""

    shout: ClassVar = b"!"

    def encode(self, data: dict[str, Any]) -> bytes:
        return self.shout + json.dumps(data).encode()

    def decode(self, data: bytes) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(data.removeprefix(self.shout))
        return decoded


@pytest.fixture
def own_encoder() -> Iterator[None]:
    before = dramatiq.get_encoder()
    dramatiq.set_encoder(Shouting())
    yield
    dramatiq.set_encoder(before)


@pytest.mark.usefixtures("own_encoder")
def test_a_hosts_own_encoder_is_used_for_many(broker: RedisBroker) -> None:
    broker.enqueue_many(
        messages_of([("a", 5, "", None), ("b", 5, "", None)], track=False)
    )

    found = broker.client.hgetall(f"{broker.namespace}:tests.msgs")
    assert [body[:1] for body in found.values()] == [Shouting.shout] * 2


def test_what_was_stored_in_bulk_runs_once_each(broker: RedisBroker) -> None:
    seen: list[int] = []

    def note(number: int = 0) -> None:
        seen.append(number)

    actor = make_actor(note, track=False)
    actor.declare_on(broker)
    broker.enqueue_many(actor.message(number=number) for number in range(BATCH + 50))

    with working(broker):
        broker.join("tests", timeout=30_000)

    assert sorted(seen) == list(range(BATCH + 50))
