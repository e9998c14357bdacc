"""Real dramatiq processes over a real Redis, as a host runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from conftest import StartWorker, make_clip, until
from scale import scaled


SEND = """
import sys
from nexus_actors.video import process_video
for number in range(int(sys.argv[2])):
    message = process_video.send(
        video_id=f"video-{number}", input_path=sys.argv[1], user_id="user-456",
        options={"formats": ["hls", "mp4"], "watermark": True, "thumbnails": True},
    )
    print(message.message_id)
"""

#: Where the messages of that user wait.
WAITING = "dramatiq:video-processing.g5:user-456"


def run(environ: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=120, check=False
    )


def cli(environ: dict[str, str], *arguments: str) -> Any:
    done = run(environ, sys.executable, "-m", "nexus_actors", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def send(environ: dict[str, str], video: Path, count: int = 1) -> list[str]:
    done = run(environ, sys.executable, "-c", SEND, str(video), str(count))
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def state(environ: dict[str, str], job: str) -> str:
    client = redis.Redis.from_url(environ["REDIS_URL"], decode_responses=True)
    found = client.hget(f"dramatiq:job:{job}", "state")
    client.close()
    return str(found)


def encoders(folder: str) -> list[int]:
    """Return the pids of the encodes that work in *folder*."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if command[0].endswith(b"ffmpeg") and folder.encode() in b" ".join(command):
                found.append(int(entry.name))
    return found


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What takes some seconds to encode."""
    return make_clip(tmp_path_factory.mktemp("clip") / "long.mp4", seconds=15)


def test_the_example_succeeds_and_its_events_tell_the_whole_story(
    environ: dict[str, str], start_worker: StartWorker, clip: Path
) -> None:
    start_worker()
    [job] = send(environ, clip)

    until(lambda: state(environ, job) == "succeeded")

    [record] = cli(environ, "job", job)
    assert record["state"] == "succeeded"
    assert record["result"]["outputs"].keys() == {"hls", "mp4"}
    told = cli(environ, "events", "--json", "--since", "0", "--no-follow")
    told_of_job = [event["event"] for event in told if event["job"] == job]
    assert told_of_job[-1] == "video.processed"
    names = [name for name in told_of_job if name.startswith("job.")]
    assert names[:2] == ["job.enqueued", "job.started"]
    assert names[-1] == "job.succeeded"
    progress = [e["fraction"] for e in told if e["event"] == "job.progress"]
    assert len(progress) >= 5
    assert progress == sorted(progress)


def test_a_refused_input_is_dead_lettered_at_once_with_its_reason(
    environ: dict[str, str], start_worker: StartWorker, tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("this is no video\n" * 50)
    start_worker()
    [job] = send(environ, tmp_path / "text.mp4")

    until(lambda: state(environ, job) == "dead")

    [record] = cli(environ, "job", job)
    assert record["attempt"] == 1
    assert record["error"]["code"] == "not_media"
    assert not record["error"]["retryable"]
    client = redis.Redis.from_url(environ["REDIS_URL"])
    assert client.zcard("dramatiq:video-processing.XQ") == 1
    client.close()
    assert not list((tmp_path / "storage").rglob("*.*"))


def test_sigterm_in_mid_encode_returns_the_job_and_a_new_worker_finishes_it(
    environ: dict[str, str], start_worker: StartWorker, long_clip: Path
) -> None:
    worker = start_worker("nexus_actors.worker:video", "-p", "1", "-t", "2")
    [job] = send(environ, long_clip)
    until(lambda: bool(encoders(environ["TEMP_DIR"])))

    started = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    worker.wait(timeout=20)

    assert time.monotonic() - started < 10
    assert not encoders(environ["TEMP_DIR"])
    assert state(environ, job) == "queued"
    client = redis.Redis.from_url(environ["REDIS_URL"])
    [body] = client.hvals("dramatiq:video-processing.msgs")
    assert "retries" not in json.loads(body)["options"]
    assert client.llen(WAITING) == 1
    client.close()
    quick = {"FFMPEG_PRESET": "ultrafast"}
    start_worker("nexus_actors.worker:video", "-p", "1", "-t", "1", **quick)
    until(lambda: state(environ, job) == "succeeded", 90)


def test_a_cancelled_job_stops_its_encode_and_publishes_nothing(
    environ: dict[str, str], start_worker: StartWorker, tmp_path: Path
) -> None:
    video = make_clip(tmp_path / "long.mp4", seconds=20)
    options = ("nexus_actors.worker:video", "-p", "1", "-t", "1")
    start_worker(*options, FFMPEG_PRESET="slow")
    [job] = send(environ, video)
    until(lambda: bool(encoders(environ["TEMP_DIR"])))

    [told] = cli(environ, "job", job, "--cancel", "--wait")

    assert told == {"job": job, "cancel": "asked", "state": "cancelled"}
    assert not encoders(environ["TEMP_DIR"])
    assert not list((tmp_path / "storage").rglob("*.*"))
    assert not list((tmp_path / "tmp" / "work").iterdir())
    with closing(redis.Redis.from_url(environ["REDIS_URL"])) as client:
        assert not client.exists("dramatiq:video-processing.msgs")
        assert not client.exists("dramatiq:video-processing.XQ")


def test_many_jobs_never_run_more_encodes_than_slots_and_a_second_host_takes_its_share(
    environ: dict[str, str],
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    video = make_clip(tmp_path / "short.mp4", size="320x180", seconds=1)
    jobs = send(environ, video, scaled(12, full=40))
    other_host = str(tmp_path / "other")
    start_worker(WORKER_CONCURRENCY="1")
    start_worker(WORKER_CONCURRENCY="1", TEMP_DIR=other_host)
    client = redis.Redis.from_url(environ["REDIS_URL"])
    here = there = least_waiting = 0

    def all_done() -> bool:
        nonlocal here, there, least_waiting
        here = max(here, len(encoders(environ["TEMP_DIR"] + "/work")))
        there = max(there, len(encoders(other_host + "/work")))
        waiting = client.llen(WAITING)
        held = client.hlen("dramatiq:video-processing.msgs") - waiting
        least_waiting = max(least_waiting, held)
        return all(state(environ, job) == "succeeded" for job in jobs)

    until(all_done, 120)

    assert (here, there) == (1, 1)
    assert least_waiting <= 2  # fetched is as good as started: the rest waits in Redis
    workers = {client.hget(f"dramatiq:job:{job}", "worker") for job in jobs}
    assert len(workers) >= 2
    client.close()


def test_a_job_longer_than_the_default_time_limit_is_not_cut_off(
    environ: dict[str, str],
    start_worker: StartWorker,
    long_clip: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "limited.py").write_text(
        "from dramatiq.middleware import TimeLimit\n"
        "from nexus_actors.worker import *\n"
        "from nexus_actors.worker import attached_broker\n"
        "for item in attached_broker().middleware:\n"
        "    if isinstance(item, TimeLimit):\n"
        "        item.time_limit = 500\n"
    )
    start_worker("limited:video", "--path", str(tmp_path), FFMPEG_PRESET="medium")
    [job] = send(environ, long_clip)

    until(lambda: state(environ, job) == "succeeded", 60)

    [record] = cli(environ, "job", job)
    assert record["result"]["timings"]["encode"] > 1
    assert record["attempt"] == 1


HOST = """
import dramatiq
from nexus_actors import CoreSettings, RedisBroker
dramatiq.set_broker(RedisBroker(CoreSettings.load()))
from nexus_actors.video import process_video

@dramatiq.actor
def uploaded(path):
    process_video.send(video_id="from-host", input_path=path)
"""


@pytest.mark.parametrize("stock", [False, True], ids=["our broker", "stock broker"])
def test_a_host_worker_that_sends_does_not_begin_to_consume_our_queue(
    environ: dict[str, str],
    start_worker: StartWorker,
    tmp_path: Path,
    clip: Path,
    *,
    stock: bool,
) -> None:
    host = HOST
    if stock:
        host = host.replace(
            "from nexus_actors import CoreSettings, RedisBroker",
            "import os\nfrom dramatiq.brokers.redis import RedisBroker",
        ).replace("CoreSettings.load()", "url=os.environ['REDIS_URL']")
    (tmp_path / "hostapp.py").write_text(host)
    start_worker("hostapp", "-p", "1", "-t", "2", "--path", str(tmp_path))
    client = redis.Redis.from_url(environ["REDIS_URL"])
    code = f"import hostapp; hostapp.uploaded.send({str(clip)!r})"
    path = environ | {"PYTHONPATH": str(tmp_path)}
    assert run(path, sys.executable, "-c", code).returncode == 0

    until(lambda: client.llen("dramatiq:video-processing") == 1)
    time.sleep(2.5)  # two polls of a worker that would consume

    assert client.llen("dramatiq:video-processing") == 1
    assert not client.keys("dramatiq:__acks__.*.video-processing")

    start_worker()
    until(lambda: client.hlen("dramatiq:video-processing.msgs") == 0)
    assert (tmp_path / "storage" / "from-host").is_dir()
    client.close()


def test_a_video_worker_leaves_the_other_domains_queues_alone(
    environ: dict[str, str], start_worker: StartWorker, clip: Path
) -> None:
    client = redis.Redis.from_url(environ["REDIS_URL"])
    client.rpush("dramatiq:notifications", "some-message")
    start_worker()
    [job] = send(environ, clip)

    until(lambda: state(environ, job) == "succeeded")

    assert client.lrange("dramatiq:notifications", 0, -1) == [b"some-message"]
    client.close()


def test_a_killed_worker_leaves_no_ffmpeg_behind(
    environ: dict[str, str], start_worker: StartWorker, long_clip: Path
) -> None:
    worker = start_worker("nexus_actors.worker:video", "-p", "1")
    send(environ, long_clip)
    until(lambda: bool(encoders(environ["TEMP_DIR"])))

    os.killpg(worker.pid, signal.SIGKILL)

    until(lambda: not encoders(environ["TEMP_DIR"]), 5)


INLINE = """
import sys
from nexus_actors.video import process_video
process_video(video_id="inline", input_path=sys.argv[1])
"""

#: An ffmpeg whose encodes do not end.
ENDLESS = """#!/bin/sh
case "$*" in *scratch.mpd*) exec sleep 60;; esac
exec ffmpeg "$@"
"""


def test_what_a_killed_process_has_left_goes_unless_a_job_goes_on_from_it(
    environ: dict[str, str], start_worker: StartWorker, clip: Path, tmp_path: Path
) -> None:
    program = tmp_path / "endless"
    program.write_text(ENDLESS)
    program.chmod(0o755)
    more = {"NEXUS_FFMPEG": str(program), "NEXUS_HEARTBEAT_TIMEOUT_S": "2"}
    more |= {"WORKER_CONCURRENCY": "2"}
    worker = start_worker("nexus_actors.worker:video", "-p", "1", "-t", "2", **more)
    command = [sys.executable, "-c", INLINE, str(clip)]
    caller = subprocess.Popen(command, env=environ | more, cwd=tmp_path)
    cancelled, kept = send(environ, clip, 2)
    work = tmp_path / "tmp" / "work"
    until(lambda: len(list(work.glob("*/encode.tmp"))) == 3)
    source = (work / kept / "in").stat().st_ino

    caller.send_signal(signal.SIGSTOP)
    os.killpg(worker.pid, signal.SIGKILL)
    cli(environ, "job", cancelled, "--cancel")
    cli(environ, "queues", "pause", "video-processing")  # the next worker only looks
    start_worker("nexus_actors.worker:video", "-p", "1", "-t", "2", **more)

    until(lambda: state(environ, kept) == "queued")
    until(lambda: len(list(work.iterdir())) == 2)  # one is frozen, but not dead
    assert (work / kept / "in").stat().st_ino == source
    caller.kill()
    until(lambda: [folder.name for folder in work.iterdir()] == [kept])
    assert caller.wait() == -signal.SIGKILL
