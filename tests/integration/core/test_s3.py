"""A bucket: what a browser is told, who may read it, and what its errors mean."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from conftest import ROOT
from nexus_actors.core.errors import (
    AuthorizationError,
    ConfigurationError,
    NexusError,
    RejectedError,
    RemoteUnavailableError,
    ResourceError,
)
from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.storage import PART_BYTES, PARTS_AT_ONCE, Storage
from objectstores import ACCESS, S3Place, S3Server, policy
from pages import blocks_of
from scale import scaled
from web import Reply, Request, Web, hang_up, reply, web


#: How much is stored where little memory is allowed, in MB.
MEGABYTES = scaled(80, full=1_000)


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    path = tmp_path / "upload"
    path.write_bytes(b"content")
    return path


Connect = Callable[..., Storage]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Open the store that the variables name."""

    def make(environ: dict[str, str], **more: str) -> Storage:
        for name, value in (environ | more).items():
            monkeypatch.setenv(name, value)
        return Storage.connect(CoreSettings.load())

    return make


@pytest.fixture
def site() -> Iterator[Web]:
    """A server that answers as it is told."""
    with web() as opened:
        yield opened


@pytest.fixture
def at_site(site: Web, connect: Connect) -> Storage:
    """A store at that server."""
    return connect(at(site))


def at(site: Web) -> dict[str, str]:
    url = {"STORAGE_URL": "s3://bucket/x", "NEXUS_STORAGE_ENDPOINT": site.url("")}
    return url | ACCESS


def failure(action: Callable[[], Any]) -> NexusError:
    """Do what must fail; the text is one line, and none of it is a secret."""
    with pytest.raises(NexusError) as caught:
        action()
    told = [str(caught.value), repr(caught.value.details)]
    assert caught.value.__cause__ is None
    assert len(caught.value.message.splitlines()) == 1
    for secret in (ACCESS["AWS_SECRET_ACCESS_KEY"], "Signature=", "AKIA", "hush"):
        assert secret not in "".join(told)
    return caught.value


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        content: bytes = answer.read()
        return content


# What a browser is told.

FOR_EVER = "public, max-age=31536000, immutable"
BRIEFLY = "public, max-age=60"


@pytest.mark.parametrize(
    ("key", "kind", "kept"),
    [
        ("v/360/00001.m4s", "video/iso.segment", FOR_EVER),
        ("v/360/init.mp4", "video/mp4", FOR_EVER),
        ("hls/master.m3u8", "application/vnd.apple.mpegurl", BRIEFLY),
        ("dash/manifest.mpd", "application/dash+xml", BRIEFLY),
        ("metadata.json", "application/json", BRIEFLY),
        ("thumb/poster.jpg", "image/jpeg", FOR_EVER),
        ("t/en.vtt", "text/vtt", FOR_EVER),
        ("other", "application/octet-stream", FOR_EVER),
    ],
)
def test_an_object_says_what_it_is_and_how_long_it_stays(
    key: str, kind: str, kept: str, s3_place: S3Place, connect: Connect, upload: Path
) -> None:
    connect(s3_place.environ).put_file(key, upload)

    head = s3_place.head(key)
    assert (head["ContentType"], head["CacheControl"]) == (kind, kept)


def test_a_large_file_says_it_too(
    s3_place: S3Place, connect: Connect, upload: Path
) -> None:
    upload.write_bytes(bytes(PART_BYTES + 1))

    connect(s3_place.environ).put_file("a.mp4", upload)

    head = s3_place.head("a.mp4")
    assert "-2" in head["ETag"], "it was not sent in parts"
    assert (head["ContentType"], head["CacheControl"]) == ("video/mp4", FOR_EVER)


MEASURED = """
import resource, sys
from pathlib import Path
from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.storage import Storage
storage = Storage.connect(CoreSettings.load())
storage.probe()
used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = used()
source, back = map(Path, sys.argv[1:])
storage.put_file("a.mp4", source)
storage.get_file("a.mp4", back, max_bytes=10**12)
unit = 2**20 if sys.platform == "darwin" else 2**10
print((used() - before) // unit)
"""


@pytest.mark.timeout(900)  # moto copies the whole object for each range of it
def test_a_large_file_takes_little_memory(s3_place: S3Place, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    with source.open("wb") as file:
        file.truncate(MEGABYTES << 20)

    printed = subprocess.run(
        [sys.executable, "-c", MEASURED, source, back],
        env=os.environ | s3_place.environ,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout

    assert back.stat().st_size == source.stat().st_size
    assert int(printed) < 60, f"{int(printed)} MB more"


# Who may read it.


def test_a_signed_url_opens_what_is_private_and_no_other_does(
    s3_place: S3Place, connect: Connect, upload: Path
) -> None:
    storage = connect(s3_place.environ)
    storage.put_file("a b#?.mp4", upload)

    url = storage.url("a b#?.mp4")

    assert storage.signs_urls
    assert fetch(url) == b"content"
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(url.partition("?")[0])
    assert caught.value.code == 403
    caught.value.close()


def test_a_signature_is_what_aws_computes_and_lasts_as_long_as_set(
    s3_place: S3Place, connect: Connect
) -> None:
    storage = connect(s3_place.environ, NEXUS_STORAGE_URL_TTL_S="600")

    urls = [storage.url("a b.mp4"), storage.signed_url("a b.mp4", ttl_s=7 * 86400)]

    told = [parse_qs(urlsplit(url).query) for url in urls]
    assert [t["X-Amz-Expires"] for t in told] == [["600"], ["604800"]]
    for url in urls:
        plain, _, signature = url.partition("&X-Amz-Signature=")
        assert signature_of(plain) == signature
        assert ACCESS["AWS_SECRET_ACCESS_KEY"] not in url


def signature_of(url: str) -> str:
    """Sign *url* with AWS's own library."""
    keys = Credentials(ACCESS["AWS_ACCESS_KEY_ID"], ACCESS["AWS_SECRET_ACCESS_KEY"])
    auth = S3SigV4QueryAuth(keys, "s3", "us-east-1")
    request = AWSRequest("GET", url)
    request.context["timestamp"] = parse_qs(urlsplit(url).query)["X-Amz-Date"][0]
    signed = auth.string_to_sign(request, auth.canonical_request(request))
    return str(auth.signature(signed, request))


@pytest.mark.parametrize("seconds", [0, -1, 7 * 86400 + 1])
def test_no_signed_url_lasts_longer_than_s3_lets_it(
    seconds: int, s3_place: S3Place, connect: Connect
) -> None:
    storage = connect(s3_place.environ)

    error = failure(lambda: storage.signed_url("a", ttl_s=seconds))

    assert "7 days" in error.message
    with pytest.raises(ConfigurationError, match="NEXUS_STORAGE_URL_TTL_S"):
        CoreSettings.load({"storage_url_ttl_s": seconds})


def test_a_public_url_is_not_signed_and_opens_what_is_public(
    s3_server: S3Server, connect: Connect, upload: Path
) -> None:
    place = S3Place(s3_server, s3_server.bucket(public=True))
    public = f"{s3_server.url}/{place.bucket}/{place.prefix}"
    storage = connect(place.environ, STORAGE_PUBLIC_URL=public)
    storage.put_file("a b.mp4", upload)

    url = storage.url("a b.mp4")

    assert url == f"{public}/a%20b.mp4"
    assert fetch(url) == b"content"
    assert not storage.signs_urls


# Where it is.


def test_the_originals_variables_name_a_bucket(
    s3_server: S3Server, connect: Connect
) -> None:
    bucket = s3_server.bucket()
    original = {"STORAGE_PROVIDER": "s3", "STORAGE_BUCKET": bucket}

    storage = connect(s3_server.environ, **original, AWS_REGION="eu-west-3")

    storage.probe()
    assert storage.uri("a") == f"s3://{bucket}/a"
    assert "%2Feu-west-3%2Fs3%2F" in storage.url("a")


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
def test_the_server_is_found_by_awss_own_variables(
    name: str, s3_server: S3Server, connect: Connect
) -> None:
    url = {"STORAGE_URL": f"s3://{s3_server.bucket()}"}

    connect(url | ACCESS, **{name: s3_server.url}).probe()


def test_our_variable_for_the_server_wins(
    s3_server: S3Server, connect: Connect, site: Web
) -> None:
    url = {"STORAGE_URL": f"s3://{s3_server.bucket()}"}
    others = dict.fromkeys(("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"), site.url(""))

    connect(url | s3_server.environ, **others).probe()

    assert site.connections == 0


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"NEXUS_STORAGE_ENDPOINT": "https://s.example"}, "https://s.example/films/"),
        (
            {
                "NEXUS_STORAGE_ENDPOINT": "https://s.example:9000/",
                "NEXUS_STORAGE_ADDRESSING": "virtual",
            },
            "https://films.s.example:9000/",
        ),
        ({}, "https://films.s3.us-east-1.amazonaws.com/"),
        ({"AWS_REGION": "eu-west-1"}, "https://films.s3.eu-west-1.amazonaws.com/"),
        (
            {"AWS_DEFAULT_REGION": "eu-west-1"},
            "https://films.s3.eu-west-1.amazonaws.com/",
        ),
        (
            {"NEXUS_STORAGE_ADDRESSING": "path"},
            "https://s3.us-east-1.amazonaws.com/films/",
        ),
        # a certificate is good for one level of names
        (
            {"STORAGE_URL": "s3://films.example/x"},
            "https://s3.us-east-1.amazonaws.com/films.example/",
        ),
    ],
)
def test_a_bucket_is_a_host_or_a_path(
    more: dict[str, str], expected: str, connect: Connect
) -> None:
    storage = connect({"STORAGE_URL": "s3://films/x"} | ACCESS, **more)

    assert storage.url("a").partition("?")[0] == f"{expected}x/a"


def test_a_bucket_that_is_a_host_is_asked_there(
    site: Web, connect: Connect, upload: Path
) -> None:
    site.replies = [reply(200, ETag='"x"')]
    storage = connect(
        at(site),
        HTTP_PROXY=site.url(""),  # names of hosts are not resolved by us
        NEXUS_STORAGE_ENDPOINT="http://s.example:9000",
        NEXUS_STORAGE_ADDRESSING="virtual",
    )

    storage.put_file("a", upload)

    [request] = site.requests
    assert request.path == "http://bucket.s.example:9000/x/a"


@pytest.mark.parametrize(
    "url",
    [
        "minio:9000",
        "ftp://minio",
        "http://",
        "https://u:hush@minio",
        "http://m/?a=hush",
    ],
)
def test_what_is_no_server_is_refused(url: str, connect: Connect) -> None:
    error = failure(
        lambda: connect({"STORAGE_URL": "s3://bucket"}, NEXUS_STORAGE_ENDPOINT=url)
    )

    assert isinstance(error, ConfigurationError)
    assert "NEXUS_STORAGE_ENDPOINT must be the http:// or https:// URL" in error.message


# Who we are.


def test_a_machine_may_bring_its_credentials(
    s3_place: S3Place, connect: Connect, site: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, secret = ACCESS.values()
    until = (datetime.now(UTC) + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ")
    role = {"AccessKeyId": key, "SecretAccessKey": secret, "Token": "hush"}
    given = {**role, "Expiration": until, "LastUpdated": until, "Code": "Success"}
    site.replies = [reply(200, b"token"), reply(200, b"role"), reply(200, given)]
    storage = connect(s3_place.environ, AWS_METADATA_ENDPOINT=site.url(""))
    for name in ACCESS:
        monkeypatch.delenv(name)
    storage = Storage.connect(CoreSettings.load())

    storage.probe()

    assert len(site.requests) == 3
    assert "X-Amz-Security-Token=hush" in storage.url("a")


@pytest.mark.parametrize("status", [403, 404, 0], ids=["forbidden", "none", "silent"])
def test_a_machine_without_credentials_is_told_how_to_set_them(
    status: int,
    s3_place: S3Place,
    connect: Connect,
    site: Web,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site.replies = [reply(status, b"hush")]
    site.refuses = not status
    connect(s3_place.environ, AWS_METADATA_ENDPOINT=site.url(""))
    for name in ACCESS:
        monkeypatch.delenv(name)
    storage = Storage.connect(CoreSettings.load())

    error = failure(storage.probe)

    assert (type(error), error.code) == (AuthorizationError, "no_credentials")
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in error.message


def test_half_of_the_credentials_is_said(connect: Connect) -> None:
    error = failure(
        lambda: connect({"STORAGE_URL": "s3://bucket"}, AWS_ACCESS_KEY_ID="AKIA")
    )

    assert isinstance(error, ConfigurationError)
    assert "SecretAccessKey" in error.message


def test_credentials_that_the_server_does_not_know_are_said(
    s3_place: S3Place, connect: Connect, strict_s3: Callable[[], None]
) -> None:
    known = s3_place.server.user()
    strict_s3()

    unknown = connect(s3_place.environ)
    errors = [failure(unknown.probe)]
    wrong = connect(s3_place.environ, **known | {"AWS_SECRET_ACCESS_KEY": "hush"})
    errors.append(failure(wrong.probe))

    for error in errors:
        assert (type(error), error.code) == (AuthorizationError, "bad_credentials")
        assert "correct AWS_ACCESS_KEY_ID" in error.message


def documented(number: int, **names: str) -> Any:
    """Return a JSON block of the page on storage, with names of the test's own."""
    page = ROOT / "docs" / "how-to" / "storage.md"
    text = [block.text for block in blocks_of(page) if block.kind == "json"][number]
    for name, own in names.items():
        text = text.replace(name.replace("_", "-"), own)
    return json.loads(text)


def test_the_documented_policy_is_enough(
    s3_place: S3Place,
    connect: Connect,
    strict_s3: Callable[[], None],
    upload: Path,
    tmp_path: Path,
) -> None:
    bucket = s3_place.bucket
    allowed = documented(0, my_media=bucket, videos=s3_place.prefix)
    # moto, unlike S3, asks whether the bucket may be deleted from
    also = policy("s3:DeleteObject", bucket)
    user = s3_place.server.user(json.dumps(allowed), also)
    upload.write_bytes(bytes(PART_BYTES + 1))
    strict_s3()

    storage = connect(s3_place.environ, **user)

    storage.probe()
    storage.put_file("a", upload)
    storage.get_file("a", tmp_path / "back", max_bytes=10**8)
    storage.delete(storage.keys())


def test_s3_takes_the_documented_rules(s3_place: S3Place) -> None:
    s3, bucket = s3_place.server.s3, s3_place.bucket
    s3_place.write("a", b"x")
    url = s3.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": f"{s3_place.prefix}/a"}
    )
    page = {"Origin": "https://www.example.com"}

    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": documented(1)})
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration=documented(2)
    )

    request = urllib.request.Request(url, headers=page)
    with urllib.request.urlopen(request) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == page["Origin"]
        assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("allowed", "lacking"),
    [
        ([], "s3:PutObject"),
        (["s3:PutObject"], "s3:ListBucket"),
        (["s3:PutObject", "s3:ListBucket"], "s3:DeleteObject"),
    ],
)
def test_what_is_not_allowed_is_said_before_any_work(
    allowed: list[str],
    lacking: str,
    s3_place: S3Place,
    connect: Connect,
    strict_s3: Callable[[], None],
) -> None:
    bucket = s3_place.bucket
    policies = [policy(a, f"{bucket}*") for a in allowed]
    user = s3_place.server.user(*policies)
    strict_s3()

    error = failure(connect(s3_place.environ, **user).probe)

    assert (type(error), error.code) == (AuthorizationError, "access_denied")
    assert lacking in error.message


def test_what_may_not_be_read_is_said(
    s3_place: S3Place,
    connect: Connect,
    strict_s3: Callable[[], None],
    tmp_path: Path,
) -> None:
    s3_place.write("a", b"x")
    storage = connect(s3_place.environ, **s3_place.server.user())
    strict_s3()

    error = failure(lambda: storage.get_file("a", tmp_path / "back", max_bytes=9))

    assert error.code == "access_denied"
    assert "s3:GetObject" in error.message
    assert list(tmp_path.glob("back*")) == []


# What its errors mean.


def test_a_bucket_that_is_not_there_is_said(
    s3_server: S3Server, connect: Connect, upload: Path, tmp_path: Path
) -> None:
    storage = connect({"STORAGE_URL": "s3://never-made"} | s3_server.environ)

    for action in (
        storage.probe,
        lambda: storage.put_file("a", upload),
        lambda: storage.get_file("a", tmp_path / "back", max_bytes=9),
        lambda: storage.delete(["a"]),
        storage.keys,
    ):
        error = failure(action)
        assert (type(error), error.code) == (ConfigurationError, "no_bucket")
        assert "'never-made'" in error.message
        assert "create it, or correct STORAGE_URL" in error.message


def said(code: str, more: str = "") -> bytes:
    return f"<Error><Code>{code}</Code><Message>hush</Message>{more}</Error>".encode()


MALFORMED = said("AuthorizationHeaderMalformed", "<Region>eu-west-3</Region>")


@pytest.mark.parametrize(
    ("answer", "expected", "code", "text"),
    [
        (reply(301), ConfigurationError, "wrong_region", "set AWS_REGION"),
        (
            reply(301, said("PermanentRedirect")),
            ConfigurationError,
            "wrong_region",
            "set AWS_REGION",
        ),
        (reply(400, MALFORMED), ConfigurationError, "wrong_region", "to eu-west-3"),
        (reply(400, said("ExpiredToken")), AuthorizationError, "bad_credentials", ""),
        (reply(403, said("RequestTimeTooSkewed")), ConfigurationError, "clock", "NTP"),
        (reply(401), AuthorizationError, "bad_credentials", "(401)"),
        (reply(403), AuthorizationError, "access_denied", "s3:PutObject"),
        (reply(507, said("XMinioStorageFull")), ResourceError, "disk_full", "is full"),
        (reply(403, said("QuotaExceeded")), ResourceError, "disk_full", "is full"),
        (
            reply(400, said("RequestTimeout")),
            RemoteUnavailableError,
            "storage_unavailable",
            "(RequestTimeout)",
        ),
        (
            reply(503, said("SlowDown")),
            RemoteUnavailableError,
            "storage_unavailable",
            "(SlowDown)",
        ),
        (reply(409), RemoteUnavailableError, "storage_unavailable", "(409)"),
        (reply(405), RejectedError, "storage", "(405)"),
        (reply(501, said("NotImplemented")), RejectedError, "storage", ""),
        (hang_up, RemoteUnavailableError, "storage_unavailable", "cannot be reached"),
        (reply(200), RemoteUnavailableError, "storage_unavailable", "not that of S3"),
    ],
)
def test_each_answer_has_a_reason_and_a_remedy(
    answer: Reply,
    expected: type[NexusError],
    code: str,
    text: str,
    site: Web,
    at_site: Storage,
    upload: Path,
) -> None:
    site.replies = [answer]

    error = failure(lambda: at_site.put_file("a", upload))

    assert (type(error), error.code) == (expected, code)
    assert "s3://bucket/x" in error.message or "'bucket'" in error.message
    assert text in error.message


def test_a_fault_that_passes_is_not_noticed(
    site: Web, at_site: Storage, upload: Path
) -> None:
    site.replies = [reply(503), reply(500), hang_up, reply(200, ETag='"x"')]

    at_site.put_file("a", upload)

    assert len(site.requests) == 4


def test_what_one_of_many_deletions_says_is_heard(site: Web, at_site: Storage) -> None:
    why = "<Key>x/b</Key><Code>AccessDenied</Code><Message>hush</Message>"
    whole = f"<DeleteResult><Error>{why}</Error></DeleteResult>"
    site.replies = [reply(200, whole.encode())]

    error = failure(lambda: at_site.delete(["a", "b"]))

    assert error.code == "access_denied"


def test_a_server_that_is_not_there_is_said(site: Web, connect: Connect) -> None:
    site.refuses = True
    dead = connect(at(site))
    nowhere = connect(at(site), NEXUS_STORAGE_ENDPOINT="http://nowhere.invalid")

    for storage, text in ((dead, site.url("")), (nowhere, "cannot be resolved")):
        error = failure(storage.probe)
        assert isinstance(error, RemoteUnavailableError)
        assert text in error.message


# What happens to what is under way.


STARTED = b"""<InitiateMultipartUploadResult>
<Bucket>bucket</Bucket><Key>x/a</Key><UploadId>u1</UploadId>
</InitiateMultipartUploadResult>"""


def test_parts_that_were_stored_are_dropped_if_one_is_not(
    site: Web, at_site: Storage, upload: Path
) -> None:
    upload.write_bytes(bytes(2 * PART_BYTES))
    site.replies = [reply(200, STARTED), reply(400, said("EntityTooLarge"))]

    error = failure(lambda: at_site.put_file("a", upload))

    assert isinstance(error, RejectedError)
    # another part was on its way, and may be seen later
    [dropped] = [seen for seen in site.requests if seen.method == "DELETE"]
    assert dropped.path == "/bucket/x/a?uploadId=u1"


class StopError(Exception):
    """The caller must not go on."""


def test_a_caller_that_must_stop_has_few_parts_under_way_and_they_are_dropped(
    site: Web, at_site: Storage, upload: Path
) -> None:
    upload.write_bytes(bytes(8 * PART_BYTES))
    stopping = threading.Event()

    def answer(connection: socket.socket, request: Request) -> None:
        if request.method == "PUT":
            stopping.wait(20)
        reply(200, ETag='"x"')(connection, request)

    def check() -> None:
        if sum(request.method == "PUT" for request in site.requests) >= PARTS_AT_ONCE:
            stopping.set()
            raise StopError

    site.replies = [reply(200, STARTED), answer]
    with pytest.raises(StopError):
        at_site.put_file("a", upload, check=check)

    methods = [request.method for request in site.requests]
    assert "DELETE" in methods
    assert methods.count("POST") == 1, "it was completed"
    assert methods.count("PUT") <= PARTS_AT_ONCE + 1  # one more may just begin


def test_a_caller_that_must_stop_does_not_wait_for_a_server_that_is_silent(
    site: Web, at_site: Storage, upload: Path, tmp_path: Path
) -> None:
    site.replies = [site.say_nothing]
    actions: list[Callable[..., Any]] = [
        lambda check: at_site.put_file("a", upload, check=check),
        lambda check: at_site.get_file("a", tmp_path / "b", max_bytes=9, check=check),
        lambda check: at_site.delete(["a"], check=check),
        lambda check: at_site.keys(check=check),
    ]

    def check() -> None:
        if site.requests:
            raise StopError

    started = time.monotonic()
    for action in actions:
        site.requests.clear()
        with pytest.raises(StopError):
            action(check)
        assert site.requests

    assert time.monotonic() - started < 15  # a request may take 120 s


def test_what_is_told_in_the_log_has_no_signature(s3_place: S3Place) -> None:
    script = """
from nexus_actors.core import logs
from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.storage import Storage
logs.configure(style="json")
storage = Storage.connect(CoreSettings.load())
logs.get_logger("x").info("told", url=storage.url("a"), also=[storage.url("b") + " c"])
"""
    environ = os.environ | s3_place.environ | {"AWS_SESSION_TOKEN": "hush"}

    printed = subprocess.run(
        [sys.executable, "-c", script], env=environ, stderr=subprocess.PIPE, check=True
    ).stderr

    told = json.loads(printed)
    assert "X-Amz-Expires=" in told["url"]
    assert not re.search(rb"Signature=[0-9a-f]|hush", printed)
    assert told["also"][0].endswith(" c")
