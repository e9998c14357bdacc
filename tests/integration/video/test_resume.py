"""A job that is interrupted goes on where it was, and never shows half of its work."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import mortal
from conftest import make_clip, until
from nexus_actors.core import clock
from nexus_actors.core.errors import NexusError, Postponed, ResourceError
from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.storage import Storage
from nexus_actors.testing.nursery import Nursery
from nexus_actors.video.errors import DiskFullError, OutputError, SourceError
from nexus_actors.video.flows import FLOWS, run
from nexus_actors.video.models import ProcessVideoRequest
from nexus_actors.video.settings import VideoSettings
from scale import full, scaled
from web import Request, hang_up, web


#: What makes a video public.
ENTRIES = {"master.m3u8", "manifest.mpd", "metadata.json"}

STEPS = FLOWS[ProcessVideoRequest].steps

#: The steps in which the process is killed; in the others it is told to end.
KILLED_IN = scaled(("encode", "stills", "store"), full=STEPS)

#: How long an encode waits before it begins, in seconds: for all checks that it gets.
WAIT_S = scaled(0.3, full=1.5)

#: A program that notes how it was started, and gives an encode time to be stopped.
WRAPPER = """#!/bin/sh
echo "$@" >> '{log}'
case "$*" in *scratch.mpd*) sleep {wait};; esac
exec {ffmpeg} "$@"
"""

SCRATCH = "scratch.mpd"

#: A word of the command line by which the starts of each step can be told.
STARTS = {
    "encode": SCRATCH,
    "derive": "/out/mp4/",
    "stills": "/thumb/",
    "verify": "verify.mp4",
}


@dataclass
class Job:
    """A job that stops in the step *stop_in*; *at* is called where a step begins."""

    stop_in: str = ""
    at: dict[str, Callable[[], None]] = field(default_factory=dict)
    stage: str = ""
    told: list[float] = field(default_factory=list)

    def check(self) -> None:
        if self.stage and self.stage == self.stop_in:
            raise Postponed("the worker shuts down", until=clock.now())

    def progress(
        self, fraction: float | None, *, stage: str, eta_s: float | None = None
    ) -> None:
        assert fraction is not None
        assert eta_s is None or eta_s >= 0
        self.told.append(fraction)
        begins, self.stage = stage != self.stage, stage
        if begins and stage in self.at:
            self.at[stage]()


@dataclass
class Bench:
    """Runs the job of one video; *starts* are the command lines of ffmpeg so far."""

    source: Path
    log: Path
    core: CoreSettings

    @property
    def work(self) -> Path:
        return self.core.temp_dir / "work" / "job-1"

    def encoder_threads(self) -> set[str]:
        """Return how many threads the encodes were told to have."""
        lines = self.log.read_text().splitlines()
        told = [line.split(" -filter_complex ")[1] for line in lines if SCRATCH in line]
        return set(re.findall(r" -threads (\d+)", " ".join(told)))

    def run(
        self,
        job: Job | None = None,
        *,
        work: Path | None = None,
        options: dict[str, Any] | None = None,
        url: str | None = None,
        **settings: Any,
    ) -> dict[str, Any]:
        return run(
            ProcessVideoRequest.parse(self.body(options, url), what="test"),
            settings=VideoSettings.load({**mortal.QUICK, **settings}),
            core=self.core,
            work=work or self.work,
            job=job or Job(),
        ).to_json()

    def body(
        self, options: dict[str, Any] | None = None, url: str | None = None
    ) -> dict[str, Any]:
        where = url or str(self.source)
        return {"video_id": "film", "input_path": where, "options": options}

    @property
    def storage(self) -> Path:
        return Path(self.core.storage_url)

    def starts(self, step: str) -> int:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return sum(STARTS[step] in line for line in lines)

    def stored(self) -> dict[str, bytes]:
        keys = Storage.connect(self.core).keys("")
        return {key: (self.storage / key).read_bytes() for key in keys}

    def assert_nothing_is_stored(self) -> None:
        assert [str(p) for p in self.storage.rglob("*") if p.is_file()] == []


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "film.mp4"
    return make_clip(path, size="320x240", seconds=3)


@pytest.fixture
def make_bench(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Bench]:
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    log = tmp_path / "starts.log"
    told = {"log": log, "wait": WAIT_S, "ffmpeg": shutil.which("ffmpeg")}
    program.write_text(WRAPPER.format(**told))
    program.chmod(0o755)
    monkeypatch.setenv("NEXUS_FFMPEG", str(program))

    def make(temp: Path = tmp_path / "tmp", storage: Path = tmp_path / "out") -> Bench:
        core = CoreSettings.load({"temp_dir": temp, "storage_url": str(storage)})
        copy = tmp_path / "upload.mp4"
        shutil.copy(source, copy)
        return Bench(copy, log, core)

    return make


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


def interrupt(bench: Bench, step: str) -> Job:
    job = Job(stop_in=step)
    with pytest.raises(Postponed):
        bench.run(job)
    return job


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "timings"}


@pytest.mark.parametrize(
    "checks", [1, pytest.param(2, marks=full), pytest.param(4, marks=full)]
)
def test_a_job_interrupted_in_every_step_repeats_none_that_it_has_finished(
    checks: int, bench: Bench
) -> None:
    expected = bench.run()
    files = bench.stored()
    assert bench.encoder_threads() == {"1"}, "with more, there may be other bytes"
    shutil.rmtree(bench.storage)
    bench.log.unlink()

    with Nursery(mortal.__name__, mortal.run_and_die.__name__, os.environ) as nursery:
        for step in STEPS:
            if step in KILLED_IN:
                kill(bench, step, checks, nursery)
                continue
            job = interrupt(bench, step)
            assert job.told == sorted(job.told), step
            bench.assert_nothing_is_stored()
    last = Job()
    result = bench.run(last)

    assert without_times(result) == without_times(expected)
    assert bench.stored() == files
    assert result["timings"].keys() == expected["timings"].keys()
    assert bench.starts("encode") == 2  # the one that was stopped, and the one after
    assert bench.starts("derive") <= 2
    assert bench.starts("stills") <= 4
    assert last.told == sorted(last.told)
    assert (last.told[0], last.told[-1]) == (0.0, 1.0)
    assert not bench.work.exists()


def kill(bench: Bench, step: str, checks: int, nursery: Nursery) -> None:
    """Run the job in a process that is killed in *step*, or right after it."""
    environ = mortal.environ(step, checks, bench.body(), bench.core, bench.work)
    child = nursery.start(bench.source.parent, environ)
    child.wait()
    assert child.returncode == -signal.SIGKILL, step
    if step != "store":
        assert not ENTRIES & {Path(key).name for key in bench.stored()}, step


def test_progress_rises_from_nothing_to_all_in_one_run(bench: Bench) -> None:
    bench.source.unlink()
    # long enough that ffmpeg tells of its progress before it ends
    make_clip(bench.source, size="1280x720", seconds=4)
    job = Job()

    bench.run(job)

    assert job.told == sorted(job.told)
    assert (job.told[0], job.told[-1]) == (0.0, 1.0)
    assert any(0.02 < fraction < 0.86 for fraction in job.told)


CHANGES: dict[str, dict[str, Any]] = {
    "options": {"options": {"formats": ["mp4"]}},
    "settings": {"audio_bitrate": "96k"},
    "source": {},
}


@pytest.mark.parametrize(
    "what",
    ["options", *(pytest.param(name, marks=full) for name in ("settings", "source"))],
)
def test_what_has_changed_since_the_last_attempt_starts_afresh(
    what: str, bench: Bench, tmp_path: Path
) -> None:
    interrupt(bench, "stills")
    if what == "source":
        bench.source.unlink()
        make_clip(bench.source, size="320x240", seconds=2)

    result = bench.run(**CHANGES[what])

    assert bench.starts("encode") == 2
    assert bench.starts("derive") == 2
    expected = bench.run(work=tmp_path / "fresh" / "work" / "job-1", **CHANGES[what])
    assert without_times(result) == without_times(expected)
    assert (result["duration"] == 2) is (what == "source")
    kinds = {key.split("/")[2] for key in bench.stored()}
    assert ("hls" in kinds) is (what != "options")


def test_an_encode_that_went_wrong_is_made_anew(bench: Bench) -> None:
    interrupt(bench, "index")
    segment = next(bench.work.glob("out/v/*/00001.m4s"))
    segment.write_bytes(segment.read_bytes()[:-100])

    with pytest.raises(OutputError):
        bench.run()

    assert not bench.work.exists()
    bench.assert_nothing_is_stored()
    assert bench.run()["status"] == "succeeded"
    assert bench.starts("encode") == 2


@pytest.mark.parametrize("name", ["plan.json", pytest.param("encode.json", marks=full)])
def test_a_note_that_a_crash_has_spoilt_is_no_note(name: str, bench: Bench) -> None:
    interrupt(bench, "derive")
    (bench.work / name).write_bytes(b'{"hash": "')

    assert bench.run()["status"] == "succeeded"
    assert bench.starts("encode") == 2


def test_a_refused_source_leaves_no_folder(bench: Bench) -> None:
    bench.source.write_text("just words")

    with pytest.raises(SourceError):
        bench.run()

    assert not bench.work.exists()
    bench.assert_nothing_is_stored()


RUN = """
import sys
from pathlib import Path
from nexus_actors.video.connect import process
from nexus_actors.engine.jobs import Job, begin
begin(Job(id="job-1", actor="video.process_video"))
process("ProcessVideoRequest", {"video_id": "film", "input_path": sys.argv[1]})
"""


def test_a_job_whose_worker_was_killed_is_finished_by_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMP_DIR", str(bench.core.temp_dir))
    monkeypatch.setenv("STORAGE_URL", bench.core.storage_url)
    command = [sys.executable, "-c", RUN, str(bench.source)]
    worker = subprocess.Popen(command)
    until(lambda: bench.starts("encode") == 1)

    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()

    bench.assert_nothing_is_stored()
    subprocess.run(command, check=True)
    assert bench.starts("encode") == 2
    assert bench.stored()
    assert not bench.work.exists()


def test_a_message_that_is_delivered_twice_at_once_waits_for_the_first(
    bench: Bench,
) -> None:
    refused: list[Postponed] = []

    def deliver_again() -> None:
        with pytest.raises(Postponed, match="another worker runs this job") as caught:
            bench.run()
        refused.append(caught.value)

    result = bench.run(Job(at={"derive": deliver_again}))

    assert result["status"] == "succeeded"
    assert refused[0].until > clock.now()
    assert bench.starts("encode") == 1


def test_two_jobs_of_one_video_do_not_touch_each_other(bench: Bench) -> None:
    results: dict[str, dict[str, Any]] = {}
    folders = {name: bench.core.temp_dir / "work" / name for name in ("a", "b")}
    stores = threading.Barrier(2)

    def wait_for_the_other() -> None:
        stores.wait(60)

    def run(name: str) -> None:
        job = Job(at={"store": wait_for_the_other})
        results[name] = bench.run(job, work=folders[name])

    threads = [threading.Thread(target=run, args=(name,)) for name in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results.keys() == folders.keys()
    made: dict[str, dict[str, bytes]] = {}
    for key, content in bench.stored().items():
        _, version, path = key.split("/", 2)
        made.setdefault(version, {})[path] = content
    one, other = made.values()
    assert one == other


def test_a_job_that_fails_takes_nothing_from_another_one_of_its_video(
    bench: Bench,
) -> None:
    bench.run(work=bench.core.temp_dir / "work" / "first")
    before = bench.stored()

    interrupt(bench, "store")

    assert bench.stored() == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Leave no byte free."""
    with (disk / "filler").open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


def free(disk: Path) -> None:
    (disk / "filler").unlink()


@pytest.mark.parametrize(
    "step",
    [
        "guard",
        "encode",
        "verify",
        *(pytest.param(name, marks=full) for name in ("derive", "stills")),
    ],
)
def test_a_full_working_disk_is_said_and_the_job_succeeds_once_there_is_room(
    step: str, small_disk: Path, make_bench: Callable[..., Bench]
) -> None:
    bench = make_bench(temp=small_disk)

    with pytest.raises(NexusError) as caught:
        bench.run(Job(at={step: lambda: fill(small_disk)}))

    error = caught.value
    assert (type(error), error.code) == (DiskFullError, "disk_full"), error
    assert error.retryable
    assert len(error.message.splitlines()) == 1
    assert "free some space, or set TEMP_DIR" in error.message
    bench.assert_nothing_is_stored()
    free(small_disk)
    assert bench.run()["warnings"] == []
    assert not bench.work.exists()


def test_a_disk_that_fills_up_while_a_file_is_fetched_is_said(
    small_disk: Path, make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(temp=small_disk)

    def without_length(connection: socket.socket, request: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 x\r\nConnection: close\r\n\r\n")
        connection.sendall(bench.source.read_bytes())
        hang_up(connection, request)

    with web() as site:
        site.replies = [without_length]
        monkeypatch.setenv("NEXUS_GUARD_ALLOW", f"127.0.0.1:{site.port}")

        with pytest.raises(DiskFullError, match="or set TEMP_DIR"):
            bench.run(Job(at={"fetch": lambda: fill(small_disk)}), url=site.url())

        assert [p.name for p in bench.work.iterdir()] == ["lock"]
        free(small_disk)
        assert bench.run(url=site.url())["warnings"] == []


def test_a_job_that_cannot_end_on_its_disk_is_not_begun(
    small_disk: Path, make_bench: Callable[..., Bench]
) -> None:
    bench = make_bench(temp=small_disk)
    (small_disk / "filler").write_bytes(b"\0" * (16 << 20))

    with pytest.raises(DiskFullError, match="MB are needed"):
        bench.run()

    assert bench.starts("encode") == 0
    free(small_disk)
    assert bench.run()["status"] == "succeeded"


def test_a_full_store_is_said_and_the_job_succeeds_once_there_is_room(
    small_disk: Path, make_bench: Callable[..., Bench]
) -> None:
    store = small_disk / "store"
    bench = make_bench(storage=store)

    with pytest.raises(ResourceError) as caught:
        bench.run(Job(at={"store": lambda: fill(small_disk)}))

    error = caught.value
    assert error.code == "disk_full"
    assert error.retryable
    assert len(error.message.splitlines()) == 1
    assert "free some space, or set STORAGE_URL" in error.message
    bench.assert_nothing_is_stored()
    free(small_disk)
    assert bench.run()["status"] == "succeeded"
    assert bench.starts("encode") == 1
