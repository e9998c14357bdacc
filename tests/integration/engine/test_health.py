"""Threads that stop coming round, ports that others have, and forked children."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
from click.testing import CliRunner
from dramatiq.threading import raise_thread_exception

from conftest import until
from nexus_actors import RedisBroker
from nexus_actors.cli import cli
from nexus_actors.core.errors import RemoteUnavailableError
from nexus_actors.engine.health import Health, Place
from nexus_actors.engine.middleware.health import HealthMiddleware
from nexus_actors.engine.signs import look
from queues import make_actor, working
from servers import free_port


@pytest.fixture
def place() -> Place:
    return Place(
        worker="tests", host="127.0.0.1", port=free_port(), limit_s=0.5, retry_s=0.1
    )


def measure(_accept: str) -> tuple[bytes, str]:
    return b"", "text/plain"


def ask(place: Place, path: str) -> tuple[int, Any]:
    """Return the status and what is told; 0 if nobody answers."""
    try:
        with urlopen(f"http://127.0.0.1:{place.port}{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)
    except URLError:
        return 0, None


def probe(option: str, place: Place) -> tuple[int, str]:
    """Return what the command ends with, and what it prints."""
    arguments = ["health", option, "--port", str(place.port)]
    done = CliRunner().invoke(
        cli, arguments, standalone_mode=False, catch_exceptions=False
    )
    return done.return_value, done.stdout


def work(number: int = 0) -> int:
    return number


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_idle_threads_that_stop_coming_round_are_a_hang(
    broker: RedisBroker, place: Place
) -> None:
    broker.add_middleware(HealthMiddleware(lambda: Health(place, {}, measure)))
    make_actor(work).declare_on(broker)
    with working(broker) as worker:
        until(lambda: ask(place, "/readyz")[0] == 200)
        alive = (0, '{"status": "alive", "reasons": []}\n')
        until(lambda: probe("--live", place) == alive)

        with worker.work_queue.mutex:
            until(lambda: ask(place, "/livez")[0] == 503, 60)
            reasons = ask(place, "/livez")[1]["reasons"]
            start = f"process {os.getpid()}: thread 'worker thread "
            assert any(reason.startswith(start) for reason in reasons)
            assert probe("--ready", place)[0] == 1
        until(lambda: ask(place, "/livez")[0] == 200)

        [consumer] = worker.consumers.values()
        raise_thread_exception(consumer.ident, SystemExit)
        until(lambda: ask(place, "/livez")[0] == 503, 60)
        reasons = ask(place, "/livez")[1]["reasons"]
        assert f"process {os.getpid()}: a ConsumerThread has ended" in reasons
    assert ask(place, "/livez")[0] == 0
    with pytest.raises(RemoteUnavailableError, match="no worker answers at http://"):
        probe("--ready", place)
    assert not list(place.folder.iterdir())


def test_a_port_that_a_stranger_has_is_told_once_and_taken_when_it_is_free(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = socket.create_server((place.host, place.port))
    first, second = (Health(place, {}, measure) for _ in range(2))
    caplog.set_level("INFO", "nexus_actors")

    def both_have_told() -> bool:
        return caplog.text.count("health.not_served") >= 2

    first.start()
    second.start()
    until(both_have_told)
    stranger.close()
    until(lambda: ask(place, "/health")[0] == 503)  # they are booting
    first.stop()
    second.stop()

    assert caplog.text.count("health.not_served") == 2
    assert "health.served" in caplog.text
    assert "set HEALTH_CHECK_PORT to another port" in caplog.text


FORK = """
import os, signal, sys, time
from pathlib import Path
from nexus_actors.engine.endpoint import listen
from nexus_actors.engine.signs import Sign, keep_from_children
sign = Sign(Path(sys.argv[1]))
sign.beat()
sign.tell({})
keep_from_children(listener := listen("127.0.0.1", int(sys.argv[2])))
child = os.fork()
if child:
    print(child, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(60)
"""


def test_a_forked_child_keeps_neither_the_port_nor_the_sign_of_a_dead_parent(
    tmp_path: Path,
) -> None:
    port = free_port()
    command = [sys.executable, "-c", FORK, str(tmp_path), str(port)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    with parent.stdout:
        child = int(parent.stdout.readline())
    parent.wait()

    until(lambda: not list(look(tmp_path)))

    socket.create_server(("127.0.0.1", port)).close()
    assert not list(tmp_path.iterdir())
    os.kill(child, signal.SIGKILL)
