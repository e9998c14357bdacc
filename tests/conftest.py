"""What all tests stand on: a private Redis, a small clip, the shared media."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
import structlog

from nexus_actors.engine.embedded_redis import EmbeddedRedis, embedded_redis


pytest_plugins = [
    "browsers",
    "databases",
    "films",
    "nexus_actors.testing.sandbox",
    "notices",
    "objectstores",
    "pytester",
    "queues",
    "scale",
    "screening",
    "servers",
    "swarms",
    "dashboards",
]

ROOT = Path(__file__).resolve().parents[1]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Use more processes than cores: for half of their time, tests wait."""
    return 5 * (os.cpu_count() or 1) // 2


#: Nothing of the machine's own settings reaches a test.
SETTINGS = (
    *("NEXUS_", "REDIS_", "STORAGE_", "TEMP_DIR", "WORKER_CONC", "LOG_LEVEL"),
    *("DATABASE_URL", "MAX_RETRIES", "AWS_", "WATERMARK_", "HEALTH_CHECK_"),
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(SETTINGS):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    """What sets up the log in this process does so for one test alone."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    if structlog.is_configured():
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
        for name, module in list(sys.modules.items()):
            log = vars(module).get("log") if name.startswith("nexus_actors.") else None
            if hasattr(log, "__dict__"):
                vars(log).pop("bind", None)  # a logger keeps what it once was


@pytest.fixture(scope="session")
def shared_media() -> Path:
    folder = ROOT.parent / "shared" / "media"
    if not folder.is_dir():
        pytest.skip(f"no media in {folder}: real files are not part of the repository")
    return folder


@pytest.fixture(scope="session")
def shared_contracts() -> Path:
    """The API documents that vendors have published."""
    folder = ROOT.parent / "shared" / "contracts"
    if not folder.is_dir():
        pytest.skip(f"no documents in {folder}: they are not part of the repository")
    return folder


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with embedded_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """An empty Redis."""
    client = redis.Redis.from_url(redis_server.url)
    client.flushall()
    client.close()
    return redis_server.url


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What is published: the sdist and the wheel, each made of the checkout."""
    from releases import build

    return build(ROOT, tmp_path_factory.mktemp("dist"), "--sdist", "--wheel")


@pytest.fixture(scope="session")
def wheel(dist: list[Path]) -> Path:
    [found] = [path for path in dist if path.suffix == ".whl"]
    return found


@pytest.fixture(scope="session")
def sdist(dist: list[Path]) -> Path:
    [found] = [path for path in dist if path.suffix == ".gz"]
    return found


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds of 640 x 360 at 30 fps, with sound."""
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture(scope="session")
def reel(clip: Path) -> Path:
    """The same with its index first, as Instagram wants it."""
    path = clip.with_name("reel.mp4")
    command = ["ffmpeg", "-v", "error", "-i", str(clip), "-c", "copy"]
    subprocess.run([*command, "-movflags", "+faststart", str(path)], check=True)
    return path


def make_clip(
    path: Path, *, size: str = "640x360", rate: str = "30", seconds: float = 5
) -> Path:
    picture = f"testsrc2=size={size}:rate={rate}:duration={seconds}"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", picture]
    command += ["-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
    subprocess.run([*command, "-c:a", "aac", str(path)], check=True)
    return path


@pytest.fixture
def environ(redis_url: str, tmp_path: Path) -> dict[str, str]:
    """The environment of a host and its workers, with parts of their own."""
    return os.environ | {
        "REDIS_URL": redis_url,
        "STORAGE_URL": str(tmp_path / "storage"),
        "TEMP_DIR": str(tmp_path / "tmp"),
        "HEALTH_CHECK_PORT": "0",  # tests that run at the same time share a machine
        "PYTHONWARNINGS": "default",
    }


Worker = subprocess.Popen[bytes]
StartWorker = Callable[..., Worker]


@pytest.fixture
def start_worker(environ: dict[str, str], tmp_path: Path) -> Iterator[StartWorker]:
    """Start `dramatiq` processes; all are gone when the test ends."""
    started: list[Worker] = []

    def start(
        target: str = "nexus_actors.worker:video", *options: str, **more: str
    ) -> Worker:
        log = (tmp_path / f"worker-{len(started)}.log").open("wb")
        with log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "dramatiq", target, *options],
                env=environ | more,
                cwd=tmp_path,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        started.append(worker)
        return worker

    yield start
    for worker in started:
        with already_gone():
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


@contextmanager
def already_gone() -> Iterator[None]:
    try:
        yield
    except ProcessLookupError:
        return


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until *condition* holds, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
