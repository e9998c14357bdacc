"""What has failed for good is found, shown, run again or deleted by a person."""

from __future__ import annotations

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.redis import RedisBroker as StockRedisBroker

from conftest import until
from nexus_actors import (
    PermanentError,
    RedisBroker,
    TransientError,
    UnsupportedFeatureError,
    dead_letters,
    events,
    jobs,
)
from nexus_actors.core import clock
from nexus_actors.engine.dead_letters import DeadLetter, Selection
from queues import MakeBroker, ended, make_actor, settled, working
from scale import scaled


class Failing:
    """An actor's body that fails as long as it is told to."""

    __module__ = "tests"
    __name__ = "fail"

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.runs: list[int] = []

    def __call__(self, number: int = 0, text: str = "") -> int:  # noqa: ARG002 - the body's field
        self.runs.append(number)
        if self.errors:
            raise self.errors.pop(0)
        return number


def bury(
    broker: RedisBroker,
    letter_id: str,
    body: bytes | None = None,
    *,
    ms: float = 1,
    queue: str = "tests",
    actor: str = "tests.fail",
    **options: Any,
) -> None:
    """Leave a dead letter as a stock worker does."""
    if body is None:
        message: dramatiq.Message[Any] = dramatiq.Message(
            *(queue, actor, (), {"number": 1}),
            options={"redis_message_id": letter_id, **options},
            message_id=f"job-of-{letter_id}",
        )
        body = message.encode()
    broker.client.zadd(f"dramatiq:{queue}.XQ", {letter_id: ms})
    broker.client.hset(f"dramatiq:{queue}.XQ.msgs", letter_id, body)


def ids(letters: list[DeadLetter]) -> list[str]:
    return [letter.id for letter in letters]


@pytest.mark.parametrize("protocol", ["", "?protocol=3"])
def test_a_job_that_has_failed_is_shown_and_runs_again_as_new(
    make_broker: MakeBroker, redis_url: str, protocol: str
) -> None:
    broker = make_broker(url=redis_url + protocol)
    body = Failing(TransientError("busy"), PermanentError("no\nsuch thing"))
    actor = make_actor(body)
    actor.declare_on(broker)
    secret = "https://me:pass@host.example/path?signature=secret"
    with working(broker):
        message = actor.send_with_options(
            kwargs={"number": 7, "text": secret}, priority=3
        )
        ended(message, broker)
        settled(broker)

    [listed] = dead_letters.find()
    letter = dead_letters.get(message.message_id)
    assert letter == listed
    assert (letter.job, letter.queue, letter.attempts) == (letter.id, "tests", 2)
    assert (letter.actor, letter.reason) == ("tests.fail", "permanent")
    assert letter.error == {
        "type": "PermanentError",
        "code": "permanent",
        "retryable": False,
        "message": "no\nsuch thing",
    }
    assert "in __call__" in (letter.traceback or "")
    assert letter.died_at
    assert letter.sent_at
    assert letter.sent_at < letter.died_at
    assert letter.arguments == {
        "args": [],
        "kwargs": {"number": 7, "text": "https://***@host.example/…"},
    }
    assert "arguments" not in letter.to_json(whole=False)

    done = dead_letters.requeue(Selection(ids=(letter.id, letter.id)))
    again = dead_letters.requeue(Selection(ids=(letter.id,)))

    assert (done.requeued, done.left) == (1, 0)
    assert (again.requeued, again.left) == (0, 0)
    assert broker.client.lrange("dramatiq:tests.p3", 0, -1) == [letter.id.encode()]
    stored: Any = broker.client.hget("dramatiq:tests.msgs", letter.id)
    options = json.loads(stored)["options"]
    assert options.pop("release")
    assert options == {"priority": 3, "redis_message_id": letter.id}
    record = jobs.get(letter.id)
    assert record is not None
    assert (record.state, record.attempt, record.error) == ("queued", 0, None)
    assert broker.client.ttl(f"dramatiq:job:{letter.id}") == -1
    assert not dead_letters.find()
    with working(broker):
        assert ended(message, broker).result == 7
    names = [event.name for event in events.listen(since="0", wait=False)]
    assert names.count("job.enqueued") == 2
    assert body.runs == [7, 7, 7]


def test_pages_and_filters_find_each_letter_once_newest_first(
    broker: RedisBroker,
) -> None:
    now = clock.now_ms()
    for number in range(7):  # some died in the same millisecond
        bury(broker, f"a{number}", ms=now - 1_000 * (number // 2))
    bury(broker, "other", ms=now - 500, queue="others", actor="others.actor")
    found: list[str] = []
    cursor = None

    while page := dead_letters.find(limit=3, after=cursor):
        found += ids(page)
        cursor = page[-1].cursor
        dead_letters.purge(Selection(ids=(page[-1].id,)))  # pages do not mind

    assert found == ["a1", "a0", "other", "a3", "a2", "a5", "a4", "a6"]
    left = ["a1", "a0", "a3", "a2", "a4"]
    since = clock.from_ms(now - 1_500)
    assert ids(dead_letters.find()) == left
    assert ids(dead_letters.find(Selection(queue="tests", since=since))) == left[:4]
    assert ids(dead_letters.find(Selection(before=since))) == left[4:]
    assert ids(dead_letters.find(Selection(actor="others.actor"))) == []
    assert ids(dead_letters.find(Selection(ids=("a3", "gone")))) == ["a3"]
    with pytest.raises(ValueError, match="cursor"):
        dead_letters.find(after="yesterday")


def test_every_way_to_die_leaves_a_reason_an_error_and_a_time(
    broker: RedisBroker, redis_url: str
) -> None:
    stock = StockRedisBroker(url=redis_url)
    actor = make_actor(Failing(KeyError("x")), max_retries=0)
    actor.declare_on(broker)
    old = make_actor(Failing(), max_age=1)
    old.actor_name = "tests.old"
    old.declare_on(broker)
    sent = {"unexpected": actor.send(number=1)}
    sent["invalid_request"] = broker.enqueue(
        actor.message(number=1).copy(kwargs={"number": "x"}, message_id="wrong")
    )
    sent["unknown_actor"] = broker.enqueue(
        dramatiq.Message("tests", "tests.gone", (), {}, {})
    )
    sent["skipped"] = broker.enqueue(
        old.message(number=1).copy(message_timestamp=1, message_id="old")
    )
    poison = sent["poison"] = broker.enqueue(actor.message(number=2))
    broker.client.hset("dramatiq:tests.tries", poison.message_id, 3)
    broker.client.hset("dramatiq:tests.msgs", "bad", b"\xff[")
    broker.client.rpush("dramatiq:tests", "bad")
    broker.client.rpush("dramatiq:tests.DQ", "worse")
    broker.client.hset("dramatiq:tests.DQ.msgs", "worse", b"{}")

    with working(broker):
        for message in sent.values():
            ended(message, broker)
        until(lambda: len(dead_letters.find()) == 7)

    found = {letter.id: letter for letter in dead_letters.find()}
    for code, message in sent.items():
        letter = found.pop(message.message_id)
        assert (letter.reason, letter.error and letter.error["code"]) == (code, code)
        assert letter.died_at
        assert broker.client.ttl(f"dramatiq:job:{letter.id}") > 0
    for letter in found.values():
        assert letter.error is not None
        assert (letter.reason, letter.error["type"]) == (
            *("unreadable", "InvalidRequestError"),
        )
        assert letter.arguments is None
    [unexpected] = dead_letters.find(Selection(error="KeyError"))
    assert [unexpected] == dead_letters.find(Selection(reason="unexpected"))
    stock.close()


def test_what_a_stock_worker_has_left_is_shown_and_runs_again(
    broker: RedisBroker, redis_url: str
) -> None:
    stock = StockRedisBroker(url=redis_url)

    def fail() -> None:
        raise ValueError("no such luck")

    options: dict[str, Any] = {"max_retries": 1, "min_backoff": 1, "max_backoff": 1}
    dramatiq.actor(broker=stock, queue_name="tests", **options)(fail)
    message: dramatiq.Message[Any] = dramatiq.Message("tests", "fail", (), {}, {})
    with working(stock):
        stock.enqueue(message)
        until(lambda: bool(dead_letters.find()))

    [letter] = dead_letters.find(Selection(queue="tests"))

    assert (
        dead_letters.find(Selection(registered=True)) == []
    )  # nobody of ours knows it
    assert (letter.job, letter.actor) == (message.message_id, "fail")
    assert (letter.reason, letter.attempts) == ("unknown", 2)
    assert letter.error is not None
    assert (letter.error["type"], letter.error["message"]) == (
        *("ValueError", "no such luck"),
    )
    runs = threading.Event()
    dramatiq.actor(broker=broker, actor_name="fail", queue_name="tests")(runs.set)
    assert dead_letters.requeue(dead_letters.ALL).requeued == 1
    with working(broker):
        assert ended(message, broker).state == "succeeded"
    assert runs.is_set()
    bury(broker, "second")
    assert ids(dead_letters.find(Selection(registered=True))) == ["second"]
    stock.close()


HOSTILE = {
    "no-json": b"\xff\xfe{",
    "deep": b"[" * 100_000,
    "deep-object": b'{"kwargs":' * 900 + b"1" + b"}" * 900,
    "null": b"null",
    "kinds": b'{"options": 1, "actor_name": [], "message_timestamp": 1e400}',
    "numbers": b'{"options": {"retries": 1e99}, "message_timestamp": "x"}',
    "halves": b'{"actor_name": "\\ud800", "kwargs": {"\\ud800": NaN}}',
    "long": json.dumps({"actor_name": "a" * 1_000_000}).encode(),
    "large": json.dumps(
        {
            "queue_name": "tests",
            "actor_name": "tests.fail",
            "args": [],
            "kwargs": {"text": "x" * 500_000, "many": [{"token": 1}] * 50_000},
            "options": {"redis_message_id": "large"},
            "message_id": "large",
            "message_timestamp": 1,
        }
    ).encode(),
}


def test_hostile_letters_are_listed_and_shown_and_break_nothing(
    broker: RedisBroker,
) -> None:
    for number, (name, body) in enumerate(HOSTILE.items()):
        bury(broker, name, body, ms=number)
        broker.client.hset(
            "dramatiq:tests.XQ.meta", name, b"[1" if number % 2 else b"{"
        )
    broker.client.zadd("dramatiq:tests.XQ", {"no-body": float("inf")})
    bury(broker, "good", ms=float("inf"))

    found = dead_letters.find()

    assert set(ids(found)) == {*HOSTILE, "good"}
    for letter in found:
        told = json.dumps(letter.to_json(), allow_nan=False)
        assert len(told) < 30_000, letter.id
        assert json.loads(told)["bytes"] == letter.bytes
    large = dead_letters.get("large")
    assert large is not None
    assert large.arguments is not None
    assert large.arguments["kwargs"]["many"][0] == {"token": "***"}
    assert large.arguments["kwargs"]["many"][-1] == "… and 49950 more"
    done = dead_letters.requeue(dead_letters.ALL)
    assert (done.requeued, done.left) == (2, len(HOSTILE) - 1)
    assert dead_letters.purge(dead_letters.ALL) == len(HOSTILE) - 1


def test_many_who_requeue_at_once_move_each_letter_once(
    make_broker: MakeBroker,
) -> None:
    brokers = [make_broker() for _ in range(4)]
    count = scaled(300, full=10_000)
    for number in range(count):
        bury(brokers[0], str(number), ms=number)

    with ThreadPoolExecutor(4) as pool:
        done = pool.map(
            lambda broker: dead_letters.requeue(dead_letters.ALL, broker=broker),
            brokers,
        )
        assert sum(result.requeued for result in done) == count

    waiting: Any = brokers[0].client.lrange("dramatiq:tests", 0, -1)
    assert len(waiting) == len(set(waiting)) == count


def test_a_letter_whose_job_is_there_again_is_left(broker: RedisBroker) -> None:
    actor = make_actor(Failing(), track=False)
    actor.broker = broker
    waiting = actor.message(number=1).copy(message_id="job-of-a")
    broker.enqueue(waiting)
    broker.enqueue(waiting.copy(message_id="job-of-b"), delay=60_000)
    for name in ("a", "b"):
        bury(broker, name)

    done = dead_letters.requeue(dead_letters.ALL)

    assert (done.requeued, done.left) == (0, 2)
    bury(broker, "c")
    body = broker.client.hget("dramatiq:tests.XQ.msgs", "c")
    read_as = hashlib.sha1(b"another", usedforsecurity=False).hexdigest()
    assert broker.run("revive", "tests", 1, 100, "c", read_as, "job-of-c", body) == 0
    assert broker.client.llen("dramatiq:tests") == 1


def test_letters_are_kept_as_long_and_as_many_as_the_settings_say(
    make_broker: MakeBroker,
) -> None:
    broker = make_broker(dead_ttl_s=3_600, dead_max=20)
    make_actor(Failing()).declare_on(broker)
    old = clock.now() - timedelta(hours=2)
    for number in range(scaled(250, full=10_000)):
        bury(broker, f"old-{number}", ms=clock.to_ms(old))
    for number in range(25):
        bury(broker, f"new-{number:02}", ms=clock.now_ms() + number)
    for name in ("new-24", *(f"dropped-by-stock-{n}" for n in range(20))):
        broker.client.hset("dramatiq:tests.XQ.meta", name, "{}")

    with working(broker):
        until(lambda: len(dead_letters.find(limit=1_000)) == 20)

    newest = [f"new-{number:02}" for number in range(24, 4, -1)]
    assert ids(dead_letters.find()) == newest
    assert broker.client.hlen("dramatiq:tests.XQ.msgs") == 20
    assert broker.client.hkeys("dramatiq:tests.XQ.meta") == [b"new-24"]
    bury(broker, "newer", ms=clock.now_ms() + 30)
    dead_letters.requeue(Selection(ids=("none",)))  # trims, too
    assert ids(dead_letters.find())[::19] == ["newer", "new-06"]


def test_a_broker_that_is_not_ours_has_no_list(
    no_broker: None,  # noqa: ARG001 - what is set here is unset after the test
) -> None:
    dramatiq.set_broker(StockRedisBroker(url="redis://127.0.0.1:1"))

    with pytest.raises(UnsupportedFeatureError, match="dead letters"):
        dead_letters.find()
