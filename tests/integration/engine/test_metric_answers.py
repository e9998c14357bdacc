"""The answer to who asks for the metrics, and the folder that it is made from."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dramatiq import Message
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as strictly_read,
)

from metering import Scrape, heard
from nexus_actors import RedisBroker, jobs, schedule
from nexus_actors.engine import instruments, metrics
from nexus_actors.engine.instruments import instruments as known
from nexus_actors.engine.metrics import Exporter
from nexus_actors.engine.middleware.metrics import MetricsMiddleware
from nexus_actors.video.steps import Steps
from queues import ended, make_actor, settled, working
from scale import scaled


OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def scrape(broker: RedisBroker, folder: Path | None = None) -> Scrape:
    return Scrape(Exporter(broker.settings, folder).render()[0].decode())


def fail(number: int = 0, text: str = "") -> None:
    raise ValueError(f"{text} {number}")


def test_both_formats_are_read_by_strict_parsers(broker: RedisBroker) -> None:
    make_actor(fail, max_retries=0).declare_on(broker)
    message = make_actor(fail, max_retries=0).send(number=1)
    broker.enqueue(message)  # of which nobody knew whether it had arrived
    with working(broker):
        ended(message, broker)
    broker.enqueue(Message("tests", "unknown", (), {}, {}))
    with working(broker):
        settled(broker)

    exporter = Exporter(broker.settings)
    plain, plain_type = exporter.render("text/plain")
    strict, strict_type = exporter.render(OPEN_METRICS)

    assert plain_type.startswith("text/plain")
    assert strict_type.startswith("application/openmetrics-text")
    seen = Scrape(plain.decode())
    assert seen.sum("nexus_messages_enqueued_total", actor="tests.fail") == 1
    assert seen.by("nexus_messages_dead_lettered_total", "actor", "reason") == {
        ("other", "rejected"): 1,
        ("tests.fail", "retries_exhausted"): 1,
    }
    families = {f.name: f for f in strictly_read(strict.decode())}
    assert seen.values.keys() >= {
        (s.name, frozenset(s.labels.items()))
        for f in families.values()
        for s in f.samples
    }
    for name, family in families.items():
        declared = known.get(name) or known[f"{name}_total"]
        assert family.documentation == declared.meaning
        for sample in family.samples:
            assert sample.labels.keys() == declared.labels.keys()
            for label, values in declared.labels.items():
                assert values is None or sample.labels[label] in values


def test_ids_users_and_error_texts_make_no_series(broker: RedisBroker) -> None:
    actor = make_actor(fail, max_retries=0, track=False)
    actor.declare_on(broker)

    def send(count: int) -> int:
        made = (
            actor.message_with_options(
                kwargs={"number": n, "text": f"user {n}"}, group=f"user-{n}"
            )
            for n in range(count)
        )
        broker.enqueue_many(made)
        with working(broker, threads=8):
            settled(broker)
        return len(scrape(broker).values)

    assert send(1) == send(scaled(200, full=1_000))


def test_names_of_actors_that_nobody_knows_do_not_fill_redis(
    broker: RedisBroker,
) -> None:
    broker.enqueue_many(Message("q", f"a{n}", (), {}, {}) for n in range(1_010))

    counts: Any = broker.client.hgetall("dramatiq:__counts__:q")
    assert len(counts) <= 1_001
    assert int(counts[b"enqueued::other"]) == 10
    assert scrape(broker).sum("nexus_messages_enqueued_total") == 1_010


def test_a_message_waits_from_when_it_may_run(broker: RedisBroker) -> None:
    seen: dict[int, int] = {}

    def look(number: int = 0) -> None:
        job = jobs.running()
        assert job
        assert job.delivery
        seen[number] = job.delivery.ready_at

    actor = make_actor(look)
    actor.declare_on(broker)
    delayed = actor.send_with_options(kwargs={"number": 1}, delay=3_600_000)
    seen_due = scrape(broker).sum("nexus_queue_next_delayed_due_seconds")
    soon = datetime.now(UTC) + timedelta(milliseconds=100)

    schedule.move(delayed.message_id, soon)

    moved_due = scrape(broker).sum("nexus_queue_next_delayed_due_seconds")
    with working(broker):
        ended(delayed, broker)
    assert seen == {1: round(soon.timestamp() * 1000)}
    assert 3_500 < seen_due <= 3_600
    assert moved_due < 1


def test_the_schedule_of_a_queue_is_told_again_where_it_was_lost(
    broker: RedisBroker,
) -> None:
    actor = make_actor(fail)
    ids = [
        actor.send_with_options(kwargs={"number": n}, delay=60_000).message_id
        for n in range(3)
    ]
    index = "dramatiq:__schedule__:tests"
    for stray in (None, "of a job that is gone"):
        if stray:
            broker.client.zadd(index, {stray: 1})
        else:
            broker.client.delete(index)
        assert broker.run("sweep", "", 1) > 0
        broker.run("sweep", "", 1, *ids)

        assert broker.run("sweep", "", 1) == 0
        assert scrape(broker).sum("nexus_queue_messages", state="delayed") == 3
        assert broker.client.zrange(index, 0, -1) == broker.client.zrange(
            "dramatiq:__schedule__", 0, -1
        )


PREPARE = """
import sys, time
from nexus_actors.engine import instruments, metrics
from nexus_actors.engine.recorder import Recorder
if "early" in sys.argv: import prometheus_client
folder = metrics.prepare(sys.argv[1])
recorder = Recorder(folder, list)
recorder.start()
TEST = instruments.counter("nexus_test_total", "Of the test", way=("known",))
TEST.inc(2, way="known")
TEST.inc(way="of whoever asks")
recorder.write()
print(folder, flush=True)
if "stay" in sys.argv: time.sleep(60)
"""


@contextmanager
def process(tmp_path: Path, *arguments: str) -> Iterator[Callable[[], Path]]:
    """Run one that tells something; what is yielded waits until it has."""
    command = [sys.executable, "-c", PREPARE, *arguments]
    environ = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        out = running.stdout
        try:
            yield lambda: Path(out.readline().strip())
        finally:
            if "stay" in arguments:
                running.kill()


def test_a_group_begins_anew_when_none_of_it_lives(
    broker: RedisBroker, tmp_path: Path
) -> None:
    def told() -> dict[tuple[str, ...], float]:
        return scrape(broker, folder).by("nexus_test_total", "way")

    with process(tmp_path, "3000", "stay") as first:
        folder = first()
        with process(tmp_path, "3000", "early") as second:
            assert second() == folder
        with process(tmp_path, "3001") as other:  # whoever begins deletes the dead
            others = other()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert told() == {("known",): 4, ("other",): 2}
        assert told() == {("known",): 4, ("other",): 2}  # of the dead, once
        assert "nexus_process_resident" in scrape(broker, folder).text
        assert others.exists()
    assert "nexus_process_resident" not in scrape(broker, folder).text

    with process(tmp_path, "3000") as third:
        assert third() == folder
    assert told() == {("known",): 2, ("other",): 1}
    assert not others.exists()


def test_a_worker_that_can_keep_no_metrics_works(
    broker: RedisBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").write_text("no folder")
    monkeypatch.setenv(metrics.VARIABLE, str(tmp_path / "full"))
    broker.add_middleware(MetricsMiddleware(lambda: "x"))
    actor = make_actor(lambda number=0: number)
    actor.declare_on(broker)

    with working(broker):
        message = actor.send(number=1)

        assert ended(message, broker).state == "succeeded"


def test_the_steps_of_a_video_are_measured(tmp_path: Path) -> None:
    steps = Steps(tmp_path, jobs.Job(id="v"), ("probe", "plan"))

    with heard() as told:
        steps.run("probe", lambda: 1)
        steps.run("plan", lambda: 1, once=True)

    name = "nexus_video_stage_duration_seconds"
    assert told == {(name, "probe"): 1, (name, "plan"): 1}


def test_a_metric_is_declared_once_and_told_with_its_labels() -> None:
    with pytest.raises(ValueError, match="nexus_queue_paused is declared twice"):
        instruments.gauge("nexus_queue_paused", "Again")
    with pytest.raises(ValueError, match="end in _total"):
        instruments.counter("nexus_things", "Some")
    with pytest.raises(ValueError, match="has the labels queue, state"):
        metrics.MESSAGES.values_of({"queue": "q"})
