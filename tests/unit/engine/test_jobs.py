"""What a running job may ask and tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from dramatiq.brokers.stub import StubBroker

from nexus_actors import InvalidRequestError, Postponed, TransientError, jobs
from nexus_actors.engine.middleware.jobs import JobsMiddleware, encode_result


@pytest.fixture
def told() -> list[jobs.Progress]:
    return []


@pytest.fixture
def job(told: list[jobs.Progress]) -> jobs.Job:
    return jobs.Job(id="1", publish=told.append, actor="tests.any")


@pytest.fixture
def stopping() -> Iterator[None]:
    jobs.stopping.set()
    yield
    jobs.stopping.clear()


def test_progress_is_told_no_more_often_than_a_person_can_read(
    job: jobs.Job, told: list[jobs.Progress]
) -> None:
    for step in range(100):
        job.progress(step / 100, stage="encode")

    assert [progress.fraction for progress in told] == [0.0]


def test_the_newest_progress_is_kept_though_it_was_not_published(job: jobs.Job) -> None:
    job.progress(0.1, stage="encode")
    job.progress(0.9, stage="encode", eta_s=3.14159)

    assert job.told == jobs.Progress(stage="encode", fraction=0.9, eta_s=3.1)


def test_a_new_stage_is_told_at_once(job: jobs.Job, told: list[jobs.Progress]) -> None:
    job.progress(0.5, stage="encode")
    job.progress(0.5, stage="store")

    assert [progress.stage for progress in told] == ["encode", "store"]


@pytest.mark.parametrize(("given", "kept"), [(-1, 0), (1.2, 1), (0.123456, 0.1235)])
def test_a_fraction_stays_between_nothing_and_all(
    job: jobs.Job, told: list[jobs.Progress], given: float, kept: float
) -> None:
    job.progress(given, stage="encode")

    assert told[0].fraction == kept


@pytest.mark.usefixtures("stopping")
def test_a_workers_job_is_asked_to_stop_when_its_worker_does(job: jobs.Job) -> None:
    with pytest.raises(Postponed, match="shuts down"):
        job.check()


@pytest.mark.usefixtures("stopping")
def test_a_job_without_a_worker_goes_on() -> None:
    jobs.current().check()


def test_outside_of_a_job_progress_goes_nowhere() -> None:
    assert jobs.running() is None

    jobs.current().progress(0.5, stage="encode")


@pytest.mark.parametrize(
    ("result", "kept"),
    [
        ({"a": [1, None]}, {"a": [1, None]}),
        ({1, 2}, "{1, 2}"),
        (float("nan"), "nan"),
        (b"\xff", "b'\\xff'"),
        (datetime(2026, 1, 1, tzinfo=UTC).date(), "datetime.date(2026, 1, 1)"),
    ],
)
def test_a_result_that_is_no_json_is_kept_as_its_text(result: Any, kept: Any) -> None:
    assert json.loads(encode_result(result)) == kept


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (InvalidRequestError("bad"), "invalid_request", False),
        (TransientError("later", code="busy"), "busy", True),
        (KeyError("x"), "unexpected", True),
    ],
)
def test_an_error_is_told_without_its_traceback(
    error: Exception, code: str, retryable: bool
) -> None:
    told = jobs.describe_error(error)

    assert told["type"] == type(error).__name__
    assert (told["code"], told["retryable"]) == (code, retryable)


def test_a_record_reads_what_the_scripts_wrote() -> None:
    raw = {b"state": b"succeeded", b"result": b"[1]", b"finished_at": b"1500"}

    record = jobs.JobRecord.from_hash("1", raw)

    assert record.is_final
    assert record.result == [1]
    assert record.to_json()["finished_at"] == "1970-01-01T00:00:01.500000+00:00"
    assert record.enqueued_at is None


def test_a_worker_that_has_nothing_to_run_says_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = StubBroker(middleware=[JobsMiddleware()])

    broker.emit_after("worker_boot", None)

    assert "call nexus_actors.setup()" in caplog.text
