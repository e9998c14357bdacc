"""What the pages show, and what the forms do."""

from __future__ import annotations

import re
import statistics
import time
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import dramatiq
import pytest

from conftest import until
from dashboards import (
    HOSTILE,
    PAGES,
    PLANTED,
    Encoder,
    Failing,
    Serve,
    Visitor,
    declared,
    die,
    publication,
)
from nexus_actors import RedisBroker, dead_letters, jobs, queues, schedule
from nexus_actors.core import clock
from nexus_actors.dashboard.rates import WINDOW_S, Meter
from nexus_actors.engine import workers
from nexus_actors.social import State
from nexus_actors.social.desk import Desk
from queues import MakeBroker, ended, running, working
from scale import scaled


#: What a person would read as ``exe.jpg``.
TURNED = "\u202egpj.exe"


def pages_of(visitor: Visitor, *more: str) -> dict[str, str]:
    return {path: visitor.get(path).text for path in (*PAGES, *more)}


def test_no_secret_and_nothing_that_runs_is_on_any_page(
    broker: RedisBroker, serve_dashboard: Serve, desk: Desk
) -> None:
    url = f"https://ann:{PLANTED}@example.com/{PLANTED}?token={PLANTED}"
    body = {
        "number": 1,
        "text": f"{HOSTILE} {TURNED}",
        "credentials": {"access_token": PLANTED},
        "password": PLANTED,
        "path": url,
        HOSTILE: [{"api_key": PLANTED, "note": HOSTILE}],
    }
    error = {"type": HOSTILE, "code": HOSTILE, "message": f"{HOSTILE} of {url}"}
    message: dramatiq.Message[Any] = dramatiq.Message(
        "tests", HOSTILE, (url,), body, {"group": HOSTILE}, message_id=f"a/b?{HOSTILE}"
    )
    later = message.copy(message_id="later")
    broker.enqueue(message)
    broker.enqueue(later, delay=60_000)
    sent = die(broker, declared(broker, Failing(error["message"])), HOSTILE)
    broker.client.hset("dramatiq:job:later", mapping={"error": "null"})
    letter_meta = broker.client.hgetall("dramatiq:tests.XQ.meta")
    assert letter_meta
    row = publication(
        desk, f"{HOSTILE}{TURNED}", url=f"javascript:{HOSTILE}", error=error
    )
    visitor = Visitor(serve_dashboard())

    named = [f"/jobs/{name}" for name in ("later", *sent)]
    named += [f"/dead/letter?queue=tests&id={name}" for name in sent]
    named += [f"/jobs?find={HOSTILE}", f"/dead?actor={HOSTILE}&reason={HOSTILE}"]
    named += [f"/jobs/{quote(message.message_id, safe='')}", f"/publications/{row.id}"]
    shown = pages_of(visitor, *named)

    odd = shown[f"/jobs/{quote(message.message_id, safe='')}"]
    assert "&lt;script&gt;" in odd
    [back] = set(re.findall(r'name="back" value="([^"]+)"', odd))
    assert message.message_id[:4] in visitor.get(back).text  # forms lead back here
    for path, text in shown.items():
        assert PLANTED not in text, path
        assert "<script>" not in text, path
        assert "<img" not in text, path
        assert 'href="javascript:' not in text, path
        assert "\u202e" not in text, path
    assert r"\u202egpj.exe" in odd
    assert r"\u202egpj.exe" in shown["/publications"]


def test_the_first_page_tells_what_is_where_and_how_fast_it_moves(
    broker: RedisBroker, serve_dashboard: Serve
) -> None:
    encoder = Encoder()
    encoder.halfway.set()
    encoder.end.set()
    actor = declared(broker, encoder)
    visitor = Visitor(serve_dashboard())
    visitor.get()

    with working(broker):
        for number in range(3):
            ended(actor.send(number=number), broker)
        until(lambda: re.match("[1-9]", rates_of(visitor)[1]) is not None)
        text = visitor.get().text
    queues.pause("tests")
    actor.send()
    actor.send_with_options(delay=timedelta(hours=3))
    later = visitor.get().text

    sent, done, failed = rates_of(visitor)
    assert (sent == done, failed) == (True, "0")
    assert "of 2 threads busy" in re.sub(r"<[^>]+>", "", text)
    assert "Queue tests is paused; 1 waiting." in later
    assert "in 3 h" in later
    one = visitor.get("/queues/tests").text
    assert "tests.encode" in one
    assert visitor.get("/queues/other").status_code == 404


def rates_of(visitor: Visitor) -> list[str]:
    """Return what the first page tells of the queue's messages a minute."""
    row = visitor.get().text.partition('id="q-tests"')[2]
    cells = re.findall(r'data-name="\w+ /min">(.*?)</td>', row)
    return [re.sub(r"<[^>]+>", "", cell).strip() for cell in cells[:3]]


def test_a_rate_is_of_the_last_minute_and_never_below_nothing() -> None:
    def load(done: int) -> queues.Load:
        counts = {queues.Count("processed", "success", "a"): done}
        told: dict[str, Any] = dict.fromkeys(queues.Load.__dataclass_fields__, 0)
        return queues.Load(**told | {"name": "q", "waiting": done, "counts": counts})

    meter = Meter()
    assert meter.rates("q") is None
    for at_s, done in ((0.0, 0), (100.0, 1_000), (100.5, 5), (130.0, 1_100)):
        meter.note([load(done)], at_s=at_s)
    rates = meter.rates("q")
    meter.note([load(3)], at_s=100 + WINDOW_S)  # Redis has lost its data
    lost = meter.rates("q")

    assert rates is not None
    assert rates.succeeded == 200
    assert meter.rates("q", "other") == meter.rates("q", "another")
    assert lost is not None
    assert lost.succeeded == 0
    assert [count for _, count in meter.waiting("q")] == [0, 1_000, 1_100, 3]


def test_a_job_is_found_by_its_id_and_by_the_names_of_the_host(
    broker: RedisBroker, serve_dashboard: Serve
) -> None:
    actor = declared(broker, Encoder())
    first = actor.send_with_options(kwargs={}, find_by={"upload": "7"})
    second = actor.send_with_options(kwargs={}, find_by={"upload": "7"})
    visitor = Visitor(serve_dashboard())

    by_id = visitor.get(f"/jobs?find={first.message_id}")
    by_name = visitor.get("/jobs?find=upload=7").text
    unknown = visitor.get("/jobs?find=video-1").text

    assert by_id.url.endswith(f"/jobs/{first.message_id}")
    assert {first.message_id[:8], second.message_id[:8]} <= set(
        re.findall(r">(\w{8})…<", by_name)
    )
    assert "No job is known by this." in unknown


@pytest.mark.parametrize("protocol", ["", "?protocol=3"])
def test_a_job_is_told_with_all_that_happened_to_it(
    make_broker: MakeBroker, redis_url: str, serve_dashboard: Serve, protocol: str
) -> None:
    broker = make_broker(url=redis_url + protocol)
    body = Failing("no such file")
    actor = declared(broker, body)
    [job] = die(broker, actor, "a text")
    visitor = Visitor(serve_dashboard())

    dead = visitor.get(f"/jobs/{job}").text
    body.is_mended = True
    visitor.act("requeue", page=f"/jobs/{job}", letter=f"tests/{job}")
    with working(broker):
        until(lambda: state_of(job, broker) == "succeeded")
    done = visitor.get(f"/jobs/{job}").text

    told = re.findall(r"<span><b>(\w+)</b>", done)
    assert told == ["enqueued", "started", "dead", "enqueued", "started", "succeeded"]
    assert "&#34;text&#34;: &#34;a text&#34;" in dead
    assert "no such file" in dead
    assert "in __call__" in dead  # of the traceback
    assert "They are kept no longer than the message is." in done


def state_of(job: str, broker: RedisBroker) -> str | None:
    record = jobs.get(job, broker=broker)
    return None if record is None else record.state


def test_what_is_in_line_is_told_page_by_page_in_the_order_of_its_turns(
    broker: RedisBroker, serve_dashboard: Serve
) -> None:
    actor = declared(broker, Encoder())
    for number in range(60):
        actor.send(number=number)
    for priority, group in ((0, None), (0, "b"), (9, "a"), (5, "g")):
        actor.send_with_options(kwargs={}, priority=priority, group=group)
    found = queues.waiting("tests", limit=100)
    visitor = Visitor(serve_dashboard())

    first = visitor.get("/queues/tests").text
    second = visitor.get("/queues/tests?offset=50").text

    turns = [(each.priority, each.group) for each in found]
    assert turns == [(0, None), (0, "b"), *[(5, None)] * 60, (5, "g"), (9, "a")]
    assert [w.id for w in queues.waiting("tests", offset=50, limit=8)] == [
        w.id for w in found[50:58]
    ]
    ids = re.findall(r'id="w-([\w-]+)"', first) + re.findall(r'id="w-([\w-]+)"', second)
    assert ids == [each.id for each in found]
    assert "Later in line" in first
    assert "Later in line" not in second


def test_dead_letters_are_chosen_by_a_filter_and_purged_only_when_sure(
    broker: RedisBroker, serve_dashboard: Serve
) -> None:
    first = declared(broker, Failing("gone"))
    other = declared(broker, Encoder(), queue="others")
    other.fn = Failing("lost")
    die(broker, first, *(["x"] * 3))
    die(broker, other, "x")
    visitor = Visitor(serve_dashboard())

    page = "/dead?queue=tests&reason=not_found&hours=24"
    fields = {"queue": "tests", "reason": "not_found", "scope": "matching"}
    asked = {"token": visitor.token(page), "back": page, "action": "purge"}
    question = visitor.post(fields | asked)
    before = dead_letters.find()
    after = visitor.act("purge", page=page, sure="yes", **fields)

    assert question.status_code == 200
    assert "All dead letters that fit the filter will be deleted." in question.text
    assert 'name="scope" value="matching"' in question.text
    assert len(before) == 4
    assert "3 dead letters were deleted for good." in after
    assert [letter.queue for letter in dead_letters.find()] == ["others"]
    nothing = visitor.act("requeue", page="/dead", scope="ticked")
    assert "Tick the dead letters that you mean." in nothing


def test_what_is_to_run_later_is_moved_run_or_cancelled(
    broker: RedisBroker, serve_dashboard: Serve
) -> None:
    actor = declared(broker, Encoder())
    sent = [
        actor.send_with_options(kwargs={}, delay=timedelta(days=day)).message_id
        for day in range(1, 4)
    ]
    visitor = Visitor(serve_dashboard())

    moved = visitor.act("move", page="/schedule", job=sent[0], due="2031-05-04T10:30")
    bad = visitor.act("move", page="/schedule", job=sent[0], due="soon")
    now = visitor.act("run-now", page="/schedule", job=sent[1])
    gone = visitor.act("unschedule", page="/schedule", job=sent[2])
    late = visitor.act("unschedule", page="/schedule", job=sent[2])

    assert "The job is to run at 2031-05-04 10:30 UTC." in moved
    assert "Give a date and a time, in UTC." in bad
    assert "The job is due now." in now
    due = schedule.get(sent[1])
    assert due is not None
    assert due.due <= clock.now()
    assert "The job is cancelled and will not run." in gone
    assert "The job does not wait for its time any more." in late
    left = schedule.upcoming(offset=1)[0]
    assert (left.job, f"{left.due:%Y-%m-%d %H:%M}") == (sent[0], "2031-05-04 10:30")
    assert "2031-05-04 10:30:00" in visitor.get("/schedule").text


def test_a_running_job_is_cancelled_and_its_worker_is_shown(
    broker: RedisBroker, serve_dashboard: Serve
) -> None:
    actor = declared(broker, Encoder())
    visitor = Visitor(serve_dashboard())

    with working(broker):
        message = actor.send()
        until(lambda: running(message, broker))
        [worker] = workers.state()
        [job] = workers.running()
        shown = visitor.get("/workers").text
        path = f"/jobs/{message.message_id}"
        asked = visitor.act("cancel", page=path, job=message.message_id)
        ended(message, broker)
    again = visitor.act("cancel", page=path, job=message.message_id)
    unknown = visitor.act("cancel", page="/", job="other")

    assert worker.is_alive
    assert (worker.busy, worker.threads) == (1, 2)
    assert (job.id, job.worker) == (message.message_id, worker.name)
    assert f"/jobs/{message.message_id}" in shown
    assert "The job runs and was asked to end." in asked
    assert state_of(message.message_id, broker) == "cancelled"
    assert "The job had ended before." in again
    assert "no job &#39;other&#39; is known" in unknown
    assert workers.state() == []


def test_a_worker_that_is_silent_for_too_long_is_told(
    broker: RedisBroker,
) -> None:
    with working(broker):
        declared(broker, Encoder())
        until(lambda: bool(workers.state()))
        name = workers.state()[0].id
        broker.client.zadd(
            "dramatiq:__heartbeats__", {name: clock.now_ms() - 60_000}, lt=True
        )
        [silent] = workers.state()

    assert not silent.is_alive


@pytest.mark.usefixtures("broker")
def test_a_publication_that_failed_is_tried_again_and_settling_needs_a_word(
    serve_dashboard: Serve, desk: Desk
) -> None:
    failed = publication(desk, "First", state=State.FAILED, attempt=None)
    unknown = publication(desk, "Second")
    visitor = Visitor(serve_dashboard())

    again = visitor.act(
        "retry", page=f"/publications/{failed.id}", publication=failed.id
    )
    page = f"/publications/{unknown.id}"
    silent = visitor.act("settle", page=page, publication=unknown.id)
    settled = visitor.act("settle", page=page, publication=unknown.id, outcome="not")
    twice = visitor.act("settle", page=page, publication=unknown.id, outcome="not")

    assert "The publication is tried again." in again
    assert desk.table.get(failed.id).state is State.PUBLISHING
    assert "Say whether the post is there." in silent
    assert "Noted: the publication is failed." in settled
    assert desk.table.get(unknown.id).state is State.FAILED
    assert "can be settled" in twice
    assert visitor.get("/publications/other").status_code == 404
    assert "Second" not in visitor.get("/publications?state=publishing").text


def test_without_redis_each_page_says_so_in_one_line(
    make_broker: MakeBroker, serve_dashboard: Serve
) -> None:
    make_broker(url="redis://127.0.0.1:1/0")

    answer = Visitor(serve_dashboard()).get("/jobs")

    assert answer.status_code == 503
    assert "Redis at 127.0.0.1:1 cannot be used" in answer.text


#: How many messages are made in one step: Redis does nothing else in the meantime.
STEP = 2_000

#: Stores what a message looks like many times over, with its job's record; every other
#: one is of one of 20,000 groups.
MULTIPLY = """
local queue, body, job = 'dramatiq:tests', ARGV[1], ARGV[2]
local record = redis.call('hgetall', 'dramatiq:job:' .. job)
for n = tonumber(ARGV[3]), tonumber(ARGV[4]) do
  local id, list = job .. '-' .. n, queue
  local own = string.gsub(body, job, id, 2)
  if n % 2 == 0 then
    local group = 'user-' .. n % 20000
    list = queue .. '.g5:' .. group
    redis.call('zadd', queue .. '.ring5', n, group)
  end
  redis.call('hset', queue .. '.msgs', id, own)
  redis.call('rpush', list, id)
  redis.call('hset', 'dramatiq:job:' .. id, unpack(record))
end
redis.call('zadd', queue .. '.ring5', 0, '')
redis.call('sadd', queue .. '.bands', 5)
"""


def test_a_page_is_as_quick_with_a_million_messages(
    broker: RedisBroker, serve_dashboard: Serve
) -> None:
    count = scaled(2_000, full=1_000_000)
    actor = declared(broker, Encoder())
    job = actor.send(text="x" * 100).message_id
    for number in range(scaled(100, full=10_000)):  # so many events are kept
        actor.send_with_options(kwargs={"number": number}, delay=timedelta(days=1))
    body: Any = broker.client.hget("dramatiq:tests.msgs", job)
    for first in range(1, count, STEP):
        last = first + STEP - 1
        broker.client.eval(MULTIPLY, 0, body, job, str(first), str(last))
    visitor = Visitor(serve_dashboard())

    took = {path: _took_s(visitor, path) for path in PAGES}
    took["job"] = _took_s(visitor, f"/jobs/{job}")
    took["far"] = _took_s(visitor, f"/queues/tests?offset={count // 4}")

    [load] = queues.overview()
    assert (load.waiting, load.scheduled) == (count + 1, scaled(100, full=10_000))
    print({path: f"{s * 1000:.0f} ms" for path, s in took.items()})  # noqa: T201 - the figures
    assert max(took.values()) < scaled(2, full=0.2), took


def _took_s(visitor: Visitor, path: str) -> float:
    """Return how long a page takes, in the middle of three looks."""
    looks = []
    for _ in range(3):
        began = time.perf_counter()
        assert visitor.get(path).status_code == 200
        looks.append(time.perf_counter() - began)
    return statistics.median(looks)
