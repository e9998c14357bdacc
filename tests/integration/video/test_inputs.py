"""Inputs that are elsewhere: real servers, good and bad, and a real pipeline."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from conftest import make_clip, until
from names import dns
from nexus_actors.core import clock
from nexus_actors.core.errors import (
    ForbiddenUrlError,
    InvalidRequestError,
    NexusError,
    Postponed,
    RemoteUnavailableError,
)
from nexus_actors.core.guard import Guard, GuardSettings
from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.storage import Storage
from nexus_actors.video import SourceError, process_video
from nexus_actors.video.fetch import Fetcher
from nexus_actors.video.flows import FLOWS, run, run_and_tidy
from nexus_actors.video.models import ProcessVideoRequest
from nexus_actors.video.pipeline import Pipeline
from nexus_actors.video.settings import VideoSettings
from nexus_actors.video.steps import Steps
from nexus_actors.video.tools import find_tools
from objectstores import S3Place
from web import Reply, Request, Web, certificate, hang_up, reply, web


TOKEN = "s3cr3t-t0k3n"
PATH = f"/{TOKEN}/film.mp4?X-Amz-Signature={TOKEN}"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return make_clip(path, size="320x240", seconds=2)


@pytest.fixture
def site(film: Path) -> Iterator[Web]:
    with web() as site:
        site.replies = [reply(body=film.read_bytes())]
        yield site


@pytest.fixture(autouse=True)
def environment(
    tmp_path: Path, site: Web, monkeypatch: pytest.MonkeyPatch
) -> pytest.MonkeyPatch:
    monkeypatch.setenv("STORAGE_URL", str(tmp_path / "storage"))
    monkeypatch.setenv("TEMP_DIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("FFMPEG_PRESET", "ultrafast")
    # what is encoded again is the same, by its bytes, with one thread alone
    monkeypatch.setenv("NEXUS_VIDEO_ENCODER_THREADS", "1")
    monkeypatch.setenv("NEXUS_GUARD_ALLOW", f"127.0.0.1:{site.port}")
    return monkeypatch


@dataclass
class Job:
    """A job that stops in the step *stop_in*, or once *stop* is set."""

    stop_in: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    stage: str = ""
    told: list[tuple[str, float]] = field(default_factory=list)

    def check(self) -> None:
        if self.stop.is_set() or self.stage == (self.stop_in or None):
            raise Postponed("the worker shuts down", until=clock.now())

    def progress(
        self, fraction: float | None, *, stage: str, eta_s: float | None = None
    ) -> None:
        assert fraction is not None
        assert eta_s is None or eta_s >= 0
        self.stage = stage
        self.told.append((stage, fraction))


def process(input_path: str, job: Job | None = None) -> dict[str, Any]:
    """Run the job of one video, or take it up again."""
    core = CoreSettings.load()
    options = {"formats": ["mp4"], "thumbnails": False}
    body = {"video_id": "film", "input_path": input_path, "options": options}
    return run(
        ProcessVideoRequest.parse(body, what="test"),
        settings=VideoSettings.load(),
        core=core,
        work=core.temp_dir / "work" / "job-1",
        job=job or Job(),
    ).to_json()


def failure(input_path: str) -> NexusError:
    with pytest.raises(NexusError) as caught:
        process(input_path)
    error = caught.value
    assert len(error.message.splitlines()) == 1
    shown = "".join(traceback.format_exception(error)) + repr(error.details)
    assert TOKEN not in shown
    return error


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "timings"}


def files(folder: Path) -> set[str]:
    return {p.name for p in folder.rglob("*") if p.is_file()}


def test_a_video_behind_a_url_becomes_what_its_file_becomes(
    site: Web, film: Path, tmp_path: Path
) -> None:
    site.replies.insert(0, reply(302, Location=PATH))
    job = Job()

    result = process(site.url("/start"), job)

    assert [request.path for request in site.requests] == ["/start", PATH]
    assert without_times(result) == without_times(process(str(film)))
    assert TOKEN not in json.dumps(result)
    assert files(tmp_path / "tmp") == set()
    shares = [fraction for stage, fraction in job.told if stage == "fetch"]
    assert shares[0] == 0
    assert shares[-1] == 0.04
    assert len(shares) > 3
    assert result["timings"]["fetch"] > 0


def test_an_https_url_is_fetched_from_who_has_the_certificate_for_it(
    film: Path, tmp_path: Path
) -> None:
    ca_file, context = certificate(tmp_path, "media.example.com")
    settings = GuardSettings.load({"guard_allow": "127.0.0.1"})
    with web(context=context) as site, dns(["127.0.0.1"]) as names:
        site.replies = [reply(body=film.read_bytes())]
        guard = Guard(settings, resolve=names.resolve, ca_file=ca_file)
        fetcher = Fetcher(guard, CoreSettings.load(), 10**9)

        def fetch(host: str) -> str:
            url = site.url(PATH, host=host)
            return fetcher.fetch(url, tmp_path, check=lambda: None, tell=lambda _: None)

        with pytest.raises(RemoteUnavailableError):
            fetch("other.example.com")
        assert site.requests == []
        assert Path(fetch("media.example.com")).read_bytes() == film.read_bytes()


def page(connection: socket.socket, request: Request) -> None:
    """Say with status 200 that there is no such film, as many do."""
    reply(body=b"<!DOCTYPE html>\n<html><body>Not found</body></html>")(
        connection, request
    )


REFUSED: dict[str, tuple[Reply, str, str]] = {
    "401": (reply(401), "not_found", "401 Unauthorized; give a URL that"),
    "403": (reply(403), "not_found", "403 Forbidden; give a URL that"),
    "404": (reply(404), "not_found", "404 Not Found; give a URL that"),
    "410": (reply(410), "not_found", "410 Gone; give a URL that"),
    "a circle": (reply(302, Location="/"), "not_found", "redirected too often"),
    "a page": (page, "not_media", "the file from 127.0.0.1 is text, not a video"),
    "a playlist": (
        reply(body=b"#EXTM3U\n#EXTINF:1,\nhttp://169.254.169.254/\n"),
        "forbidden_format",
        "the file from 127.0.0.1 is an HLS playlist",
    ),
    "nothing": (reply(204), "empty", "the file from 127.0.0.1 is empty"),
    "said too large": (
        reply(body=b"x", Content_Length=10**9),
        "too_large",
        "the file from 127.0.0.1 has more than 1,000,000 bytes",
    ),
    "too large": (
        reply(body=b"\0" * 1_000_001, Content_Length=1_000_001),
        "too_large",
        "NEXUS_VIDEO_MAX_INPUT_BYTES",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_server_will_not_give_or_is_no_video_is_refused_for_good(
    what: str, site: Web, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("NEXUS_VIDEO_MAX_INPUT_BYTES", "1000000")
    answer, code, told = REFUSED[what]
    site.replies = [answer]

    error = failure(site.url(PATH))

    assert (type(error), error.code, error.retryable) == (SourceError, code, False)
    assert told in error.message
    assert files(tmp_path) == set()


def endless(connection: socket.socket, _: Request) -> None:
    """Send without saying how much it will be."""
    connection.sendall(b"HTTP/1.1 200 x\r\nConnection: close\r\n\r\n")
    with suppress(OSError):
        while True:
            connection.sendall(b"\0" * 65536)


def test_a_file_without_a_length_is_cut_off_at_the_limit(
    site: Web, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("NEXUS_VIDEO_MAX_INPUT_BYTES", "1000000")
    site.replies = [endless]

    assert failure(site.url(PATH)).code == "too_large"
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    "answer",
    [
        *[reply(500), reply(503, Retry_After=3600), reply(429), hang_up],
        *[reply(408), reply(body=b"half", Content_Length=8)],
        reply(body=b"4\r\nhalf", Transfer_Encoding="chunked", Content_Length=9),
    ],
)
def test_what_may_pass_is_told_so_and_leaves_nothing(
    answer: Reply, site: Web, tmp_path: Path
) -> None:
    site.replies = [answer]

    error = failure(site.url(PATH))

    assert (type(error), error.retryable) == (RemoteUnavailableError, True)
    assert files(tmp_path) == {"lock"}


def test_a_server_that_is_not_there_may_come_back() -> None:
    assert failure("https://no-such-host.invalid/a.mp4").retryable


def test_a_finished_download_is_not_made_again(
    site: Web, tmp_path: Path, film: Path
) -> None:
    for step in ("guard", "probe", "encode", "store"):
        with pytest.raises(Postponed):
            process(site.url(PATH), Job(stop_in=step))
        left = [p.read_bytes() for p in (tmp_path / "tmp").rglob("*") if p.is_file()]
        assert not [content for content in left if TOKEN.encode() in content], step

    result = process(site.url(PATH))

    assert without_times(result) == without_times(process(str(film)))
    assert len(site.requests) == 1
    assert files(tmp_path / "tmp") == set()


def halting(content: bytes, reached: threading.Event, over: threading.Event) -> Reply:
    """Send half of *content*, and nothing more for a long time."""

    def answer(connection: socket.socket, _: Request) -> None:
        head = f"HTTP/1.1 200 x\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content[: len(content) // 2])
        reached.set()
        over.wait(20)

    return answer


def test_a_download_ends_soon_when_the_job_must_stop_and_leaves_nothing(
    site: Web, tmp_path: Path, film: Path
) -> None:
    job = Job()
    site.replies = [halting(film.read_bytes(), job.stop, site.over)]
    started = time.monotonic()

    with pytest.raises(Postponed, match="shuts down"):
        process(site.url(PATH), job)

    assert time.monotonic() - started < 6
    assert files(tmp_path) == {"lock"}


RUN = """
import sys
from nexus_actors.video.connect import process
from nexus_actors.engine.jobs import Job, begin
begin(Job(id="job-1", actor="video.process_video"))
process("ProcessVideoRequest", {"video_id": "film", "input_path": sys.argv[1]})
"""


def test_a_job_whose_worker_was_killed_while_it_fetched_is_finished_by_the_next(
    site: Web, tmp_path: Path, film: Path
) -> None:
    reached = threading.Event()
    whole = reply(body=film.read_bytes())
    site.replies = [halting(film.read_bytes(), reached, site.over), whole]
    command = [sys.executable, "-c", RUN, site.url(PATH)]
    worker = subprocess.Popen(command, env=os.environ | {"TEMP_DIR": str(tmp_path)})
    assert reached.wait(20)
    until(lambda: "fetched.part" in files(tmp_path / "work"))

    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()

    subprocess.run(command, check=True, env=os.environ | {"TEMP_DIR": str(tmp_path)})
    assert len(site.requests) == 2
    assert files(tmp_path / "work") == set()


def test_a_file_that_the_disk_has_no_room_for_is_not_begun(
    site: Web, tmp_path: Path
) -> None:
    free = shutil.disk_usage(tmp_path).free
    site.replies = [reply(body=b"x", Content_Length=free + 10**9)]
    guard = Guard(GuardSettings.load())
    fetcher = Fetcher(guard, CoreSettings.load(), free + 10**10)

    with pytest.raises(NexusError) as caught:
        fetcher.fetch(site.url(PATH), tmp_path, check=lambda: None, tell=lambda _: None)

    assert (caught.value.code, caught.value.retryable) == ("disk_full", True)
    assert "free some space, or set TEMP_DIR" in caught.value.message
    assert files(tmp_path) == set()


#: Forms of an address of the network that the worker stands in.
INSIDE = [
    *["127.0.0.1", "127.0.0.2", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"],
    *["[::1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"],
    *["127.1", "2130706433", "0x7f000001", "127.0.0.1@127.0.0.2", "①②⑦.0.0.1"],
]


@pytest.mark.parametrize("host", INSIDE)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_input_makes_the_worker_reach_into_its_own_network(
    host: str, scheme: str, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    with web("::1" if host == "[::1]" else "0.0.0.0") as victim:
        environment.setenv("NEXUS_GUARD_HTTP", "true")
        environment.setenv("NEXUS_GUARD_PORTS", str(victim.port))
        url = f"{scheme}://{host}:{victim.port}{PATH}"

        with pytest.raises((ForbiddenUrlError, InvalidRequestError)) as caught:
            process_video(video_id="film", input_path=url)

        assert not caught.value.retryable
        assert TOKEN not in "".join(traceback.format_exception(caught.value))
        assert victim.connections == 0
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    "target",
    [
        *["http://127.0.0.2:{port}/", "//127.0.0.2:{port}/", "http://[::1]:{port}/"],
        *["http://2130706434:{port}/", "http://x@127.0.0.2:{port}/"],
        *["http://169.254.169.254/latest/meta-data/", "file:///etc/passwd"],
        *["https://127.0.0.1:1/", "s3://bucket/key", "gopher://127.0.0.2:{port}/"],
    ],
)
def test_no_redirect_makes_the_worker_reach_into_its_own_network(
    target: str, site: Web, tmp_path: Path
) -> None:
    with web("127.0.0.2") as victim:
        site.replies = [reply(302, Location=target.format(port=victim.port) + TOKEN)]

        error = failure(site.url(PATH))

        assert (type(error), error.retryable) == (ForbiddenUrlError, False)
        assert victim.connections == 0
    assert files(tmp_path) == set()


def test_a_name_that_leads_inside_after_it_was_checked_is_not_followed(
    tmp_path: Path,
) -> None:
    core = CoreSettings.load()
    settings = VideoSettings.load()
    body = {"video_id": "film", "input_path": ""}
    with web() as victim, dns(["93.184.216.34"], ["127.0.0.1"]) as names:
        loaded = GuardSettings.load(
            {"guard_http": True, "guard_ports": str(victim.port), "guard_allow": ""}
        )
        guard = Guard(loaded, resolve=names.resolve)
        body["input_path"] = victim.url(PATH, host="media.example.com")
        guard.check(body["input_path"])
        work = tmp_path / "work" / "job-1"
        work.mkdir(parents=True)
        pipeline = Pipeline(
            ProcessVideoRequest.parse(body, what="test"),
            settings,
            Steps(work, Job(), FLOWS[ProcessVideoRequest].steps),
            find_tools(settings),
            Storage.connect(core),
            Fetcher(guard, core, settings.max_input_bytes),
            threads=0,
        )

        with pytest.raises(ForbiddenUrlError, match=r"media\.example\.com is not on"):
            run_and_tidy(pipeline)

        assert len(names.queries) == 2
        assert victim.connections == 0
    assert not work.exists()


@pytest.fixture
def uploads(s3_place: S3Place, environment: pytest.MonkeyPatch) -> S3Place:
    """The place that inputs may come from; outputs go to a folder."""
    for name, value in s3_place.environ.items():
        environment.setenv(
            name.replace("STORAGE_URL", "NEXUS_STORAGE_INPUT_URL"), value
        )
    environment.setenv("STORAGE_URL", os.environ["STORAGE_URL"])
    return s3_place


def test_an_object_becomes_what_its_file_becomes_and_is_fetched_once(
    uploads: S3Place, film: Path, tmp_path: Path
) -> None:
    uploads.write("a b/Film #1?.mp4", film.read_bytes())
    uri = f"s3://{uploads.bucket}/{uploads.prefix}/a b/Film #1?.mp4"
    job = Job(stop_in="encode")

    with pytest.raises(Postponed):
        process(uri, job)
    uploads.server.s3.delete_object(
        Bucket=uploads.bucket, Key=f"{uploads.prefix}/a b/Film #1?.mp4"
    )
    result = process(uri)

    assert without_times(result) == without_times(process(str(film)))
    assert files(tmp_path / "tmp") == set()
    assert ("fetch", 0.0) in job.told


@pytest.mark.parametrize(
    "uri",
    [
        *["s3://other-bucket/{prefix}/film.mp4", "s3://{bucket}/film.mp4"],
        *["s3://{bucket}/{prefix}-of-others/film.mp4", "s3://{bucket}/media/film.mp4"],
    ],
)
def test_an_object_that_is_in_no_store_of_ours_is_refused_for_good(
    uri: str, uploads: S3Place, tmp_path: Path
) -> None:
    uri = uri.format(bucket=uploads.bucket, prefix=uploads.prefix)

    error = failure(uri)

    assert (type(error), error.retryable) == (ForbiddenUrlError, False)
    assert "inputs come from NEXUS_STORAGE_INPUT_URL and STORAGE_URL" in error.message
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    ("key", "code", "told"),
    [
        ("gone.mp4", "not_found", "there is no s3://"),
        ("../film.mp4", "not_found", "cannot be the name of an object"),
        ("large.mp4", "too_large", "large.mp4 has more than 1,000 bytes; no more"),
        ("page.mp4", "not_media", "page.mp4 is text, not a video"),
    ],
)
def test_an_object_that_cannot_be_read_or_is_no_video_is_refused_for_good(
    key: str,
    code: str,
    told: str,
    uploads: S3Place,
    tmp_path: Path,
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("NEXUS_VIDEO_MAX_INPUT_BYTES", "1000")
    uploads.write("large.mp4", b"\0" * 1001)
    uploads.write("page.mp4", b"<html></html>")

    error = failure(f"s3://{uploads.bucket}/{uploads.prefix}/{key}")

    assert (type(error), error.code, error.retryable) == (SourceError, code, False)
    assert told in error.message
    assert files(tmp_path) == set()
