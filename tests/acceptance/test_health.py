"""The endpoint of real worker processes, under either command, whatever dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import dramatiq
import pytest

from conftest import StartWorker, already_gone, until
from nexus_actors import CoreSettings, RedisBroker
from queues import held
from scale import scaled
from servers import StartServer, free_port


TESTS = Path(__file__).resolve().parents[1]

Popen = subprocess.Popen[bytes]

#: How long no sign of life is a hang; by default, half a minute.
LIMIT_S = scaled("3", full="")

#: Within how many seconds another process has the port, and Redis is known to be away
#: or back; other tests may have the processors in the meantime.
TAKEN_S = scaled(20, full=5)
KNOWN_S = scaled(30, full=10)
BOOT_S = 120


@dataclass(frozen=True)
class Site:
    """What is answered at a port of this machine."""

    port: int

    def ask(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return the status and what is told; 0 if nobody answers."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                told = answer.read()
                return answer.status, json.loads(told) if told[:1] == b"{" else {}
        except HTTPError as error:
            with error:
                return error.code, json.load(error)
        except (URLError, OSError):
            return 0, {}

    def status(self, path: str) -> int:
        return self.ask(path)[0]

    def processes(self) -> dict[int, dict[str, Any]]:
        told = self.ask("/health")[1].get("processes", [])
        return {process["pid"]: process for process in told}

    def holder(self) -> int:
        [pid] = [pid for pid, told in self.processes().items() if told["serves"]]
        return pid


@pytest.fixture
def site(environ: dict[str, str]) -> Site:
    site = Site(free_port())
    environ |= {
        "HEALTH_CHECK_PORT": str(site.port),
        "NEXUS_HANG_TIMEOUT_S": LIMIT_S,
        "PYTHONPATH": str(TESTS),
    }
    return site


@pytest.mark.timeout(scaled(180, full=600))
def test_the_probes_tell_a_hang_an_outage_and_a_shutdown_apart_while_jobs_hold_threads(
    environ: dict[str, str],
    site: Site,
    start_worker: StartWorker,
    start_server: StartServer,
    tmp_path: Path,
) -> None:
    server = start_server("redis", port=free_port())
    environ["REDIS_URL"] = server.url
    broker = RedisBroker(CoreSettings.load({"redis_url": server.url}))
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    worker = start_worker("health_actors:notifications", "-p", "2", "-t", "1")
    until(lambda: len(site.processes()) == 2 and site.status("/readyz") == 200, BOOT_S)
    for _ in range(2):
        kwargs = {"gate": str(gate)}
        broker.enqueue(dramatiq.Message("default", "hold", (), kwargs, {}))
    until(lambda: held(broker) == 2)
    held_since = time.monotonic()

    server.kill()
    killed_at = time.monotonic()
    until(lambda: site.status("/readyz") == 503, 30)
    assert time.monotonic() - killed_at < KNOWN_S
    assert site.status("/livez") == 200

    [other] = site.processes().keys() - {site.holder()}
    os.kill(other, signal.SIGSTOP)
    stopped_at = time.monotonic()
    until(lambda: site.status("/livez") == 503, 70)
    assert time.monotonic() - stopped_at < 60
    reasons = site.ask("/livez")[1]["reasons"]
    assert reasons[0].startswith(f"process {other}: no sign of life for ")
    os.kill(other, signal.SIGCONT)
    until(lambda: site.status("/livez") == 200)

    server.start()
    started_at = time.monotonic()
    until(lambda: site.status("/readyz") == 200, 30)
    assert time.monotonic() - started_at < KNOWN_S
    until(lambda: time.monotonic() - held_since > scaled(6, full=180), 200)
    assert site.status("/livez") == 200

    worker.send_signal(signal.SIGTERM)
    until(lambda: site.ask("/health")[1].get("status") == "draining")
    assert site.status("/readyz") == 503
    assert site.status("/livez") == 200
    assert site.ask("/health")[1]["worker"] == "notification-dispatcher"
    gate.write_text("")
    assert worker.wait(30) == 0
    assert held(broker) == 0
    broker.close()


@pytest.fixture
def supervisor(
    environ: dict[str, str],
    site: Site,  # noqa: ARG001 - is in the environment
    tmp_path: Path,
) -> Iterator[Popen]:
    """The library's own command."""
    command = [sys.executable, "-m", "nexus_actors", "worker", "video"]
    with (tmp_path / "supervisor.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--threads", "1"],
            env=environ,
            cwd=tmp_path,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    yield process
    with already_gone():
        process.terminate()
    process.wait(120)


def test_the_endpoint_outlives_its_process_and_is_there_for_two_groups_and_slow_clients(
    site: Site, start_worker: StartWorker, supervisor: Popen
) -> None:
    start_worker("nexus_actors.worker:social", "-p", "1", "-t", "1")
    until(lambda: len(site.processes()) == 2 and site.status("/readyz") == 200, BOOT_S)
    names = [told["worker"] for told in site.processes().values()]
    assert sorted(names) == ["social-publisher", "video-processor"]
    first = site.holder()

    os.kill(first, signal.SIGKILL)
    killed_at = time.monotonic()
    until(lambda: site.status("/livez") == 200)

    assert time.monotonic() - killed_at < TAKEN_S
    assert first not in site.processes()
    assert site.holder() != first
    with ExitStack() as stack:
        address = ("127.0.0.1", site.port)
        for number in range(scaled(300, full=1000)):
            client = stack.enter_context(socket.create_connection(address))
            if number % 2:
                client.send(b"G")
        began = time.monotonic()
        assert site.status("/livez") == 200
        assert site.ask("/metrics")[0] == 200
        assert time.monotonic() - began < TAKEN_S
    assert supervisor.poll() is None
