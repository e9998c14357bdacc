"""Both kinds of store: a folder, and a bucket of moto's S3 server.

moto refuses what is private to those who bring no signature, but looks into a signature
and a policy only after `S3Server.enforce`, and then does not know signed URLs.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zlib import crc32

import boto3
import pytest

from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.storage import Storage
from web import Request, hang_up, reply, web


#: Whom the server trusts; it knows no one and lets everybody in, until `enforce`.
ACCESS = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "s3cr3t/K3y+"}

#: So many requests are let in without a look.
ALL = 10**9


class Place(ABC):
    """Where a store is, as the environment says it, looked at behind its back."""

    environ: dict[str, str]

    @abstractmethod
    def read(self, key: str) -> bytes: ...

    @abstractmethod
    def write(self, key: str, content: bytes) -> None: ...

    @abstractmethod
    def everything(self) -> list[str]:
        """All that lies there, whole or in part; sorted."""


@dataclass(frozen=True)
class Folder(Place):
    root: Path

    @property
    def environ(self) -> dict[str, str]:  # type: ignore[override] # read only
        return {"STORAGE_URL": str(self.root)}

    def read(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def write(self, key: str, content: bytes) -> None:
        (self.root / key).parent.mkdir(parents=True, exist_ok=True)
        (self.root / key).write_bytes(content)

    def everything(self) -> list[str]:
        found = [path for path in self.root.rglob("*") if path.is_file()]
        return sorted(str(path.relative_to(self.root)) for path in found)


@dataclass(frozen=True)
class S3Place(Place):
    server: S3Server
    bucket: str
    prefix: str = "media/x"

    @property
    def environ(self) -> dict[str, str]:  # type: ignore[override] # read only
        url = f"s3://{self.bucket}/{self.prefix}"
        return {"STORAGE_URL": url, **self.server.environ}

    def head(self, key: str) -> Any:
        full = f"{self.prefix}/{key}"
        return self.server.s3.head_object(Bucket=self.bucket, Key=full)

    def read(self, key: str) -> bytes:
        full = f"{self.prefix}/{key}"
        found = self.server.s3.get_object(Bucket=self.bucket, Key=full)
        content: bytes = found["Body"].read()
        return content

    def write(self, key: str, content: bytes) -> None:
        self.server.s3.put_object(
            Bucket=self.bucket, Key=f"{self.prefix}/{key}", Body=content
        )

    def everything(self) -> list[str]:
        s3 = self.server.s3
        objects = s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        parts = s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        keys = [found["Key"] for found in (*objects, *parts)]
        return sorted(key.removeprefix(f"{self.prefix}/") for key in keys)


@dataclass(frozen=True)
class S3Server:
    """A running server; every test makes its own buckets."""

    url: str
    s3: Any = field(repr=False)
    iam: Any = field(repr=False)

    @property
    def environ(self) -> dict[str, str]:
        return {"NEXUS_STORAGE_ENDPOINT": self.url, **ACCESS}

    def bucket(self, *, public: bool = False) -> str:
        """Make an empty bucket; of a public one, everybody may read the objects."""
        name = f"test-{uuid.uuid4().hex}"
        self.s3.create_bucket(Bucket=name)
        if public:
            allowed = policy("s3:GetObject", f"{name}/*", Principal="*")
            self.s3.put_bucket_policy(Bucket=name, Policy=allowed)
        return name

    def user(self, *statements: str) -> dict[str, str]:
        """Make somebody who may do what the policies say; return their variables."""
        name = uuid.uuid4().hex
        self.iam.create_user(UserName=name)
        for number, allowed in enumerate(statements):
            self.iam.put_user_policy(
                UserName=name, PolicyName=str(number), PolicyDocument=allowed
            )
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        return {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }

    def enforce(self, after: int = 0) -> None:
        """Look into every signature and policy from now on."""
        request = urllib.request.Request(
            f"{self.url}/moto-api/reset-auth",
            data=str(after).encode(),
            headers={"Content-Type": "text/plain"},
        )
        urllib.request.urlopen(request).close()


def policy(action: str | list[str], resource: str, **more: Any) -> str:
    """Return a policy that allows *action* on ``bucket`` or ``bucket/*``."""
    allowed = {"Effect": "Allow", "Action": action}
    allowed |= {"Resource": f"arn:aws:s3:::{resource}"} | more
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed]})


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    path = tmp_path_factory.mktemp("s3") / "log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            env=os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": str(ALL)},
            stdout=log,
            stderr=log,
        )
    try:
        url = wait_for_address(path, process)
        yield S3Server(url, client("s3", url), client("iam", url))
    finally:
        process.kill()
        process.wait()


def wait_for_address(log: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 60
    while True:
        printed = log.read_text()
        if found := re.search(r"Running on (http://\S+)", printed):
            return found[1]
        assert process.poll() is None, printed
        assert time.monotonic() < deadline, printed
        time.sleep(0.05)


def client(service: str, url: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ACCESS["AWS_SECRET_ACCESS_KEY"],
    )


@dataclass
class Gateway:
    """In front of a server: notes what is written, and disturbs some of it.

    By its key it is decided how often a write fails before it succeeds, and how: an
    answer of 500, a connection that is cut before, or after it took effect.

    Attributes:
        written: What was written, in this order; of a large file, its last request.
        failed: How often each fault was met.
        most: How many requests were there at once, at most.
    """

    server: S3Server
    url: str = ""
    written: list[str] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    most: int = 0
    _inside: int = 0
    _tries: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, connection: socket.socket, request: Request) -> None:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
            fault = self._fault(request)
        try:
            self._answer(connection, request, fault)
        finally:
            with self._lock:
                self._inside -= 1

    def _fault(self, request: Request) -> str:
        if request.method != "PUT":
            return ""
        self._tries[request.path] += 1
        _, _bucket, key = urlsplit(request.path).path.split("/", 2)
        chance = crc32(key.encode()) % 16
        if self._tries[request.path] > (2 if chance == 0 else 1):
            return ""
        fault = {0: "500", 1: "500", 2: "cut", 3: "lost"}.get(chance, "")
        self.failed[fault] += bool(fault)
        return fault

    def _answer(self, connection: socket.socket, request: Request, fault: str) -> None:
        if fault == "500":
            reply(500)(connection, request)
            return
        if fault == "cut":
            hang_up(connection, request)
            return
        status, headers, body = self._forward(request)
        if fault == "lost":
            hang_up(connection, request)
            return
        if status < 300 and request.method in {"PUT", "POST"}:
            with self._lock:
                self.written.append(urlsplit(request.path).path)
        reply(status, body, **headers)(connection, request)

    def _forward(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        target = http.client.HTTPConnection(urlsplit(self.server.url).netloc)
        try:
            headers = {k: v for k, v in request.headers.items() if k != "connection"}
            target.request(request.method, request.path, request.body, headers)
            got = target.getresponse()
            kept = {n: v for n in ("ETag", "Content-Type") if (v := got.headers[n])}
            return got.status, kept, got.read()
        finally:
            target.close()


@contextmanager
def unsteady(server: S3Server) -> Iterator[Gateway]:
    """Put a gateway in front of *server*."""
    gateway = Gateway(server)
    with web() as site:
        gateway.url = site.url("")
        site.replies = [gateway.answer]
        yield gateway


@pytest.fixture
def strict_s3(s3_server: S3Server) -> Iterator[Callable[[], None]]:
    """Make the server look into signatures and policies, until the test ends."""
    yield s3_server.enforce
    s3_server.enforce(after=ALL)


@pytest.fixture
def s3_place(s3_server: S3Server) -> S3Place:
    return S3Place(s3_server, s3_server.bucket())


@pytest.fixture(params=["folder", "s3"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Place:
    """An empty place of each kind, which the environment names."""
    found: Place = (
        Folder(tmp_path / "storage")
        if request.param == "folder"
        else request.getfixturevalue("s3_place")
    )
    for name, value in found.environ.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def storage(place: Place) -> Storage:  # noqa: ARG001 - it sets the environment
    """A store of each kind; *place* is where it is."""
    return Storage.connect(CoreSettings.load())
