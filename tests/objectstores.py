"""Both kinds of store: a folder, and a bucket of moto's S3 server.

moto refuses what is private to those who bring no signature, but looks into a signature
and a policy only after `S3Server.enforce`, and then does not know signed URLs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.storage import Storage


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
