"""Secrets, planted wherever one may enter, are searched for wherever none may be."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis

from conftest import StartWorker, make_clip, until
from nexus_actors.engine.embedded_redis import embedded_redis
from nexus_actors.testing.secrets import Leak, SecretScan
from objectstores import S3Place
from web import Request, Web, reply, web


#: What a URL lets its holder read; in the path, in the query and as a password.
TOKEN = "s1gn4ture+of/input="
REDIS = "p4ss:word@of/redis"
DATABASE = "p4ssword-of-database"

SECRETS = {
    "token of a URL": TOKEN,
    "password of Redis": REDIS,
    "password of Redis alone": "p4ssword-of-redis-alone",
    "password of the database": DATABASE,
    "secret key": "c2VjcmV0IGtleSBvZiAzMiBieXRlcyBpbiBiYXNlNjQ",
    "secret key of AWS": "s3cr3t/k3y+of/aws",
    "access token": "access-t0ken-of-account",
    "refresh token": "refresh-t0ken-of-account",
}

#: A program that notes how it was started, and with which environment.
WRAPPER = """#!/bin/sh
{{ echo "$@"; env; }} >> '{log}'
exec {program} "$@"
"""

#: A host's own tasks, which fail with all that they know.
HOST = """
import os
from datetime import UTC, datetime

import dramatiq

from nexus_actors import CoreSettings
from nexus_actors.core.credentials import Credential, DatabaseCredentialStore
from nexus_actors.core.database import Database
from nexus_actors.core.keyring import Keyring, Secret

opened = []


@dramatiq.actor(max_retries=0)
def remember():
    settings = CoreSettings.load({"database_url": os.environ["ACCOUNTS"]})
    opened.append(Database.connect(settings))
    store = DatabaseCredentialStore(opened[0], Keyring.from_settings(settings))
    credential = Credential(
        access_token=Secret(os.environ["ACCESS_TOKEN"]),
        refresh_token=Secret(os.environ["REFRESH_TOKEN"]),
        obtained_at=datetime.now(UTC),
    )
    store.put("tiktok", "me", credential)
    raise RuntimeError(f"{settings} {store} {credential} {store.get('tiktok', 'me')}")


@dramatiq.actor(max_retries=0)
def reach():
    Database.connect(CoreSettings.load())
"""

#: Sends what it reads, with all logs on, and shows the errors.
SEND = """
import json, logging, sys, traceback
logging.basicConfig(level=0)
import dramatiq
from nexus_actors import CoreSettings, RedisBroker
dramatiq.set_broker(RedisBroker(CoreSettings.load()))
import hostapp
from nexus_actors.video import process_video
print(hostapp.remember.send().message_id)
print(hostapp.reach.send().message_id)
for number, url in enumerate(json.load(sys.stdin)):
    try:
        message = process_video.send(
            video_id=f"video-{number}", input_path=url,
            options={"formats": ["mp4"]},
        )
        print(message.message_id)
    except ValueError:
        traceback.print_exc()
"""

PATHS = ("good", "missing", "broken", "page")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Web]:
    film = make_clip(tmp_path / "film.mp4", size="320x180", seconds=1).read_bytes()
    answers = {
        "good": reply(body=film),
        "missing": reply(404, TOKEN.encode()),
        "broken": reply(500, TOKEN.encode()),
        "page": reply(body=b"<html>Log in</html>"),
    }

    def answer(connection: socket.socket, request: Request) -> None:
        answers[request.path.split("/")[1]](connection, request)

    with web() as site:
        site.replies = [answer]
        yield site


@dataclass(frozen=True)
class System:
    """A host, its worker's environment, and what they have said."""

    environ: dict[str, str]
    folder: Path

    def run(self, *command: str, given: str = "", **more: str) -> str:
        done = subprocess.run(
            [sys.executable, *command],
            input=given,
            env=self.environ | more,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        with (self.folder / "host.log").open("a") as log:
            log.write(f"{command}\n{done.stdout}{done.stderr}")
        return done.stdout

    def connect(self) -> redis.Redis:
        return redis.Redis.from_url(self.environ["REDIS_URL"], protocol=2)


@pytest.fixture
def system(
    tmp_path: Path, site: Web, s3_place: S3Place, environ: dict[str, str]
) -> Iterator[System]:
    s3_place.write("film.mp4", (tmp_path / "film.mp4").read_bytes())
    (tmp_path / "hostapp.py").write_text(HOST)
    for name in ("ffmpeg", "ffprobe"):
        log, program = tmp_path / "programs.log", shutil.which(name)
        (tmp_path / name).write_text(WRAPPER.format(log=log, program=program))
        (tmp_path / name).chmod(0o755)
    with embedded_redis(tmp_path / "redis") as server:
        path = server.url.removeprefix("unix://")
        client = redis.Redis.from_url(server.url)
        client.config_set("requirepass", REDIS)
        client.close()
        # `environ` is changed in place: `start_worker` has the same
        environ |= {
            "REDIS_URL": f"unix://:{quote(REDIS, safe='')}@{path}",
            "REDIS_PASSWORD": SECRETS["password of Redis alone"],
            "NEXUS_SECRET_KEY": SECRETS["secret key"],
            "NEXUS_STORAGE_INPUT_URL": s3_place.environ["STORAGE_URL"],
            "NEXUS_STORAGE_ENDPOINT": s3_place.server.url,
            "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": SECRETS["secret key of AWS"],
            "DATABASE_URL": f"postgres://me:{DATABASE}@127.0.0.1:1/app",
            "ACCOUNTS": f"sqlite:///{tmp_path / 'accounts.db'}",
            "ACCESS_TOKEN": SECRETS["access token"],
            "REFRESH_TOKEN": SECRETS["refresh token"],
            "NEXUS_FFMPEG": str(tmp_path / "ffmpeg"),
            "NEXUS_FFPROBE": str(tmp_path / "ffprobe"),
            "NEXUS_GUARD_ALLOW": f"127.0.0.1:{site.port}",
            # a host's own, which mean nothing to us
            "LOG_LEVEL": "verbose",
            "NEXUS_LOG_LEVEL": "DEBUG",
            "MAX_RETRIES": "many",
            "NEXUS_MAX_RETRIES": "1",
            "BACKOFF_DELAY": "50",
        }
        yield System(environ, tmp_path)


def commands() -> set[bytes]:
    """Return the command line of every process."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.add(entry.read_bytes())
        except OSError:
            continue
    return found


def messages(client: Any) -> list[dict[str, Any]]:
    """Return every message that Redis has: waiting, delayed, running or dead."""
    keys = client.keys("*.msgs")
    return [json.loads(body) for key in keys for body in client.hvals(key)]


def test_no_secret_is_found_anywhere_but_a_url_in_its_message(
    system: System, site: Web, start_worker: StartWorker, tmp_path: Path
) -> None:
    scan, query = SecretScan(SECRETS), quote(TOKEN, safe="")
    urls = [site.url(f"/{path}/{query}?X-Amz-Signature={query}") for path in PATHS]
    urls += [site.url(f"/{query}?sig={query}", host="127.0.0.2")]
    urls += [f"https://me:{query}@127.0.0.1/", f"ftp://127.0.0.1/{query}"]
    urls += [site.url(f"/good/?sig={query}#{query}"), f"https://{query}/ x?{query}"]
    store = system.environ["NEXUS_STORAGE_INPUT_URL"]
    urls += [f"{store}/film.mp4", f"{store}/gone.mp4"]
    seen: set[bytes] = set()
    with closing(system.connect()) as client:

        def states(ids: list[str]) -> list[str]:
            seen.update(commands())
            found = [client.hget(f"dramatiq:job:{job}", "state") for job in ids]
            return [state.decode() for state in found if isinstance(state, bytes)]

        sent = system.run("-c", SEND, given=json.dumps(urls)).split()
        assert len(messages(client)) == len(sent) == 9
        worker = start_worker(
            *("nexus_actors.worker:video", "hostapp", "--path", str(tmp_path)),
            *("--processes", "1", "--threads", "4"),
        )
        until(lambda: {*states(sent)} <= {"succeeded", "dead"}, 60)
        ended = states(sent)
        for command in (["events", "--since", "0", "--no-follow"], ["doctor"]):
            system.run("-m", "nexus_actors", *command)
        system.run("-m", "nexus_actors", "-v", "db", "status")
        wrong = system.environ["REDIS_URL"].replace("@", "0@")
        system.run("-m", "nexus_actors", "-v", "events", REDIS_URL=wrong)
        leaks = [
            *(leak for command in seen for leak in scan.text("a command", command)),
            *scan.sqlite(tmp_path / "accounts.db"),
            *scan.redis(system.environ["REDIS_URL"]),
        ]
        worker.send_signal(signal.SIGTERM)
        worker.wait(timeout=20)
        kept = messages(client)

    logs = [tmp_path / f"{name}.log" for name in ("worker-0", "host", "programs")]
    leaks += scan.files(*logs, tmp_path / "tmp", tmp_path / "storage")

    # each way was gone
    hosts, videos = ended[:2], ended[2:]
    assert hosts == ["dead", "dead"]
    assert videos == ["succeeded", *["dead"] * 4, "succeeded", "dead"]
    assert [r.path.split("/")[1] for r in site.requests].count("broken") == 2
    said = [log.read_text() for log in logs]
    assert "Received message" in said[0]
    assert "cannot be used" in said[0]
    assert said[1].count("InvalidRequestError") >= 4
    assert "scratch.mpd" in said[2]
    # the one place where a URL is, and nothing else of it
    allowed = re.compile(r"redis \d+, dramatiq:video-processing(\.[DX]Q)*\.msgs")
    in_message = [leak for leak in leaks if is_allowed(leak, allowed)]
    assert [leak for leak in leaks if leak not in in_message] == []
    assert in_message
    failed = [m for m in kept if m["kwargs"].pop("input_path", None)]
    assert len(failed) == 5
    assert list(scan.text("the rest of the messages", json.dumps(kept))) == []


def is_allowed(leak: Leak, places: re.Pattern[str]) -> bool:
    return leak.name == "token of a URL" and bool(places.fullmatch(leak.where))
