"""Where guarded connections go: real servers, a real resolver, real TLS."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from names import Dns, dns
from nexus_actors.core.errors import (
    ForbiddenUrlError,
    NexusError,
    RejectedError,
    RemoteUnavailableError,
)
from nexus_actors.core.guard import Guard, GuardSettings
from nexus_actors.core.http import ApiClient, Call
from nexus_actors.core.transport import Limits, Route, Session, look_up
from web import Reply, Request, Web, certificate, hang_up, reply, web


NAME = "hooks.example.com"


@pytest.fixture
def site() -> Iterator[Web]:
    with web() as site:
        yield site


def guard(
    names: Dns | None = None, ca_file: Path | None = None, **settings: object
) -> Guard:
    resolve = names.resolve if names else look_up
    return Guard(GuardSettings.load(settings), resolve=resolve, ca_file=ca_file)


def post(guard: Guard, url: str) -> int:
    client = ApiClient(name="webhook", session=guard.session, limits=Limits(total_s=5))
    return client.send(Call("POST", url, json={"type": "video.processed"})).status


FORMS = [
    *["127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "2130706433", "0x7f000001"],
    *["017700000001", "0x7f.0.0.1", "0", "0.0.0.0", "localhost", "localhost."],
    *["LocalHost", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]"],
    *["[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "[::ffff:0:7f00:1]", "127.0.0.2"],
    *["user@127.0.0.1", "example.com@127.0.0.1", "127.0.0.1%00.example.com"],
    *[
        "\uff11\uff12\uff17.0.0.1",
        "①②⑦.0.0.1",
        "127。0。0。1",
        "127.0.0.1\\.example.com",
    ],
]


@pytest.mark.parametrize("host", FORMS)
def test_no_form_of_this_machines_address_gets_a_connection(
    host: str, tmp_path: Path
) -> None:
    with web("0.0.0.0") as site:
        strict = guard(guard_http=True, guard_ports=str(site.port))
        url = f"http://{host}:{site.port}/"

        with pytest.raises(ForbiddenUrlError):
            post(strict, url)
        with pytest.raises(ForbiddenUrlError):
            strict.download(url, tmp_path / "in", max_bytes=1000)
        with pytest.raises(ForbiddenUrlError):
            strict.session.get(url, timeout=5)

        assert site.connections == 0
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["[::1]", "[0:0:0:0:0:0:0:1]", "localhost"])
def test_no_form_of_the_address_in_ipv6_gets_a_connection(host: str) -> None:
    with web("::1") as site:
        strict = guard(guard_http=True, guard_ports=str(site.port))

        with pytest.raises(ForbiddenUrlError):
            post(strict, f"http://{host}:{site.port}/")

        assert site.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "localhost"])
def test_the_same_forms_do_reach_the_server_without_a_guard(host: str) -> None:
    with web("0.0.0.0") as site:
        client = ApiClient(name="open", session=Session(Route()))

        assert client.send(Call("GET", site.url(host=host))).status == 200
        assert site.connections == 1


def test_a_name_that_has_changed_since_it_was_checked_gets_no_connection(
    site: Web,
) -> None:
    with dns(["93.184.216.34"], ["127.0.0.1"]) as names:
        strict = guard(names, guard_http=True, guard_ports=str(site.port))
        url = site.url(host=NAME)

        strict.check(url)
        with pytest.raises(ForbiddenUrlError) as caught:
            post(strict, url)

        assert "127.0.0.1" not in str(caught.value)
        assert len(names.queries) == 2
        assert site.connections == 0


@pytest.mark.parametrize(
    "answers", [["127.0.0.1", "93.184.216.34"], ["93.184.216.34", "127.0.0.1"]]
)
def test_one_forbidden_address_among_several_is_enough(
    site: Web, answers: list[str]
) -> None:
    with dns(answers) as names:
        strict = guard(names, guard_http=True, guard_ports=str(site.port))

        with pytest.raises(ForbiddenUrlError):
            post(strict, site.url(host=NAME))

        assert site.connections == 0


def test_the_address_that_was_checked_is_the_one_that_is_connected_to() -> None:
    with (
        web("127.0.0.3") as good,
        web("127.0.0.1", good.port) as bad,
        dns(["127.0.0.3"], ["127.0.0.1"]) as names,
    ):
        pinned = guard(names, guard_allow=f"127.0.0.3:{good.port}")

        assert post(pinned, good.url(host=NAME)) == 200

        assert len(names.queries) == 1
        assert (good.connections, bad.connections) == (1, 0)
        assert good.requests[0].headers["host"] == f"{NAME}:{good.port}"


def test_an_address_that_does_not_answer_gives_way_to_the_next(site: Web) -> None:
    with dns(["127.0.0.9", "127.0.0.1"]) as names:
        allowed = guard(names, guard_allow=f"127.0.0.0/8:{site.port} 127.0.0.0/8")

        assert post(allowed, site.url(host=NAME)) == 200


def test_the_certificate_must_be_for_the_name_and_not_for_the_address(
    tmp_path: Path,
) -> None:
    ca_file, context = certificate(tmp_path, NAME)
    with web(context=context) as site, dns(["127.0.0.1"]) as names:
        allowed = guard(names, ca_file, guard_allow="127.0.0.1")

        assert post(allowed, site.url(host=NAME)) == 200
        assert post(allowed, site.url(host=NAME)) == 200
        with pytest.raises(RemoteUnavailableError):
            post(allowed, site.url(host="other.example.com"))
        with pytest.raises(RemoteUnavailableError):
            post(guard(names, guard_allow="127.0.0.1"), site.url(host=NAME))

        assert len(site.requests) == 2
        assert site.connections == 3


def test_the_authorities_are_read_once_and_not_for_each_connection(
    tmp_path: Path,
) -> None:
    ca_file, context = certificate(tmp_path, NAME)
    with web(context=context) as site, dns(["127.0.0.1"]) as names:
        site.replies = [reply(Connection="close")]
        allowed = guard(names, ca_file, guard_allow="127.0.0.1")
        post(allowed, site.url(host=NAME))
        ca_file.write_text("no certificate")

        assert post(allowed, site.url(host=NAME)) == 200

        assert site.connections == 2


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.2:{port}/",
        "//127.0.0.2:{port}/",
        "http://0x7f000002:{port}/",
        "file:///etc/passwd",
        "http://user@127.0.0.1:{port}/",
        "http://127.0.0.1:1/",
    ],
)
def test_a_redirect_leads_to_nothing_that_its_start_might_not(
    target: str, tmp_path: Path
) -> None:
    with web("0.0.0.0") as site:
        allowed = guard(guard_allow=f"127.0.0.1:{site.port}")
        site.replies = [reply(302, Location=target.format(port=site.port)), reply()]

        with pytest.raises(ForbiddenUrlError):
            allowed.download(site.url(), tmp_path / "in", max_bytes=1000)

        assert len(site.requests) == 1
        assert list(tmp_path.iterdir()) == []


def test_a_download_follows_a_redirect_to_what_may_be_reached(
    site: Web, tmp_path: Path
) -> None:
    allowed = guard(guard_allow="127.0.0.1")
    site.replies = [reply(302, Location="/b?x=1#part"), reply(body=b"film")]

    assert allowed.download(site.url("/a"), tmp_path / "in", max_bytes=4) == 4

    assert [r.path for r in site.requests] == ["/a", "/b?x=1"]
    assert (tmp_path / "in").read_bytes() == b"film"
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_a_redirect_in_a_circle_ends(site: Web, tmp_path: Path) -> None:
    site.replies = [reply(307, Location="/")]

    with pytest.raises(RejectedError, match="too often"):
        guard(guard_allow="127.0.0.1").download(
            site.url(), tmp_path / "in", max_bytes=9
        )

    assert len(site.requests) == 6


def test_a_call_follows_nothing(site: Web) -> None:
    site.replies = [reply(307, Location=site.url("/other"))]
    allowed = guard(guard_allow="127.0.0.1")

    with pytest.raises(RejectedError, match="307"):
        post(allowed, site.url())
    assert allowed.session.get(site.url(), timeout=5).status_code == 307

    assert len(site.requests) == 2


def test_the_environments_proxies_are_not_used(
    site: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    with web() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        monkeypatch.setenv("no_proxy", "")

        assert post(guard(guard_allow="127.0.0.1"), site.url()) == 200

        assert proxy.connections == 0


def gzip_bomb() -> bytes:
    import gzip

    return gzip.compress(b"\0" * 50_000_000)


def test_what_is_too_large_is_refused_and_not_kept(site: Web, tmp_path: Path) -> None:
    allowed = guard(guard_allow="127.0.0.1")
    endless = reply(body=b"HTTP", Content_Length=10**12)
    bomb = reply(body=gzip_bomb(), Content_Encoding="gzip")
    site.replies = [endless, bomb]

    for _ in site.replies.copy():
        with pytest.raises(RejectedError, match="larger than 100,000 bytes") as caught:
            allowed.download(site.url(), tmp_path / "in", max_bytes=100_000)
        assert caught.value.code == "too_large"

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(401), RejectedError),
        (reply(403), RejectedError),
        (reply(404), RejectedError),
        (reply(410), RejectedError),
        (reply(500), RemoteUnavailableError),
        (reply(429, Retry_After=5), RemoteUnavailableError),
        (reply(503, Retry_After=5), RemoteUnavailableError),
        (hang_up, RemoteUnavailableError),
        (reply(body=b"half", Content_Length=8), RemoteUnavailableError),
        (reply(body=b"no gzip", Content_Encoding="gzip"), RemoteUnavailableError),
    ],
)
def test_a_download_that_fails_leaves_what_was_there(
    site: Web, tmp_path: Path, answer: object, kind: type[NexusError]
) -> None:
    site.replies = [answer]  # type: ignore[list-item]
    (tmp_path / "in").write_bytes(b"old")

    with pytest.raises(kind) as caught:
        guard(guard_allow="127.0.0.1").download(
            site.url(), tmp_path / "in", max_bytes=99
        )

    assert type(caught.value) is kind
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_a_download_stops_within_a_second_or_two_when_it_must(
    site: Web, tmp_path: Path
) -> None:
    site.replies = [site.say_nothing]
    started = time.monotonic()

    def stop() -> None:
        if time.monotonic() - started > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guard(guard_allow="127.0.0.1").download(
            site.url(), tmp_path / "in", max_bytes=9, check=stop
        )

    assert time.monotonic() - started < 6
    assert list(tmp_path.iterdir()) == []


def stream(size: int, blocks: int, pause_s: float, length: int) -> Reply:
    """Send *blocks* blocks with pauses before each, and then nothing."""

    def answer(connection: socket.socket, _: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 x\r\nContent-Length: %d\r\n\r\n" % length)
        for _block in range(blocks):
            time.sleep(pause_s)
            connection.sendall(b"x" * size)
        connection.recv(1)

    return answer


QUICK = Limits(connect_s=1, read_s=0.5, total_s=0.6)


def quick(site: Web) -> Guard:
    settings = GuardSettings.load({"guard_allow": f"127.0.0.1:{site.port}"})
    return Guard(settings, limits=QUICK)


def test_a_download_goes_on_as_long_as_its_bytes_keep_coming(
    site: Web, tmp_path: Path
) -> None:
    site.replies = [stream(size=100_000, blocks=12, pause_s=0.1, length=1_200_000)]
    started = time.monotonic()

    quick(site).download(site.url(), tmp_path / "in", max_bytes=2_000_000)

    assert time.monotonic() - started > 2 * QUICK.total_s - 0.1
    assert (tmp_path / "in").stat().st_size == 1_200_000


@pytest.mark.parametrize(
    "answer",
    [
        stream(size=100_000, blocks=1, pause_s=0, length=200_000),
        stream(size=100, blocks=50, pause_s=0.1, length=200_000),
    ],
    ids=["stalls", "drips"],
)
def test_a_download_whose_bytes_do_not_keep_coming_is_given_up(
    answer: Reply, site: Web, tmp_path: Path
) -> None:
    site.replies = [answer]

    with pytest.raises(RemoteUnavailableError):
        quick(site).download(site.url(), tmp_path / "in", max_bytes=2_000_000)

    assert list(tmp_path.iterdir()) == []


def test_a_download_tells_how_far_it_is_before_its_first_byte_and_after_its_last(
    site: Web, tmp_path: Path
) -> None:
    def unknown(connection: socket.socket, _: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 x\r\nConnection: close\r\n\r\nfilm")
        hang_up(connection, _)

    site.replies = [reply(302, Location="/b"), reply(body=b"x" * 200_000), unknown]
    told: list[tuple[int, int | None]] = []

    def tell(received: int, total: int | None) -> None:
        told.append((received, total))

    for _ in range(2):
        guard(guard_allow="127.0.0.1").download(
            site.url(), tmp_path / "in", max_bytes=200_000, on_progress=tell
        )

    known = [received for received, total in told if total == 200_000]
    assert (known[0], known[-1]) == (0, 200_000)
    assert known == sorted(known)
    assert len(known) > 2
    assert told[len(known) :] == [(0, None), (4, None)]


def test_what_is_known_to_be_too_large_is_not_begun(site: Web, tmp_path: Path) -> None:
    site.replies = [stream(size=100, blocks=300, pause_s=0.1, length=200_000)]
    told: list[int] = []
    started = time.monotonic()

    with pytest.raises(RejectedError, match="larger than 99,999 bytes"):
        guard(guard_allow="127.0.0.1").download(
            site.url(),
            tmp_path / "in",
            max_bytes=99_999,
            on_progress=lambda received, _: told.append(received),
        )

    assert told == []
    assert time.monotonic() - started < 15


def test_a_resolver_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    over = threading.Event()

    def resolve(_: str, __: int) -> list[str]:
        over.wait(20)
        return []

    def stop() -> None:
        if time.monotonic() - started > 0.3:
            raise KeyboardInterrupt

    slow = Guard(GuardSettings.load(), resolve=resolve, limits=QUICK)
    patient = Guard(GuardSettings.load(), resolve=resolve)
    url, target, started = f"https://{NAME}/", tmp_path / "in", time.monotonic()

    with pytest.raises(RemoteUnavailableError, match="not reached"):
        slow.download(url, target, max_bytes=9)
    with pytest.raises(KeyboardInterrupt):
        patient.download(url, target, max_bytes=9, check=stop)

    assert time.monotonic() - started < 5
    over.set()


def test_who_typed_the_url_does_not_learn_why_it_fails(site: Web) -> None:
    allowed = guard(guard_allow="127.0.0.1")
    site.replies = [reply(500, b"secret inside")]

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(RemoteUnavailableError) as refused:
            post(allowed, f"http://127.0.0.1:{closed.getsockname()[1]}/")
    with pytest.raises(NexusError) as failed:
        post(allowed, site.url())

    assert refused.value.message == "webhook: POST 127.0.0.1: not reached"
    assert "secret inside" not in f"{failed.value} {failed.value.details}"
