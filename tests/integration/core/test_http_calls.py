"""Calls over real sockets, to servers that do what servers do."""

from __future__ import annotations

import io
import logging
import os
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nexus_actors.core.errors import (
    AuthorizationError,
    ConfigurationError,
    NexusError,
    Postponed,
    RejectedError,
    RemoteUnavailableError,
    UnknownOutcomeError,
)
from nexus_actors.core.http import Answer, ApiClient, Call, FileSlice
from nexus_actors.core.transport import Limits, Session, shared_session
from web import Reply, Web, certificate, hang_up, reply, stalling_headers, web


QUICK = Limits(connect_s=2, read_s=0.3, total_s=0.6)
READ = Call("GET", "/me")
COMMIT = Call("POST", "/publish", json={"title": "x"})


@pytest.fixture
def site() -> Iterator[Web]:
    with web() as site:
        yield site


def client(site: Web, **more: Any) -> ApiClient:
    session = more.pop("session", None) or Session()
    return ApiClient(
        name="tiktok", base_url=site.url(), session=session, limits=QUICK, **more
    )


def failure(client: ApiClient, call: Call) -> NexusError:
    with pytest.raises(NexusError) as caught:
        client.send(call)
    assert len(caught.value.message.splitlines()) == 1
    assert caught.value.message.startswith("tiktok: ")
    return caught.value


def test_a_call_goes_out_as_it_was_written(site: Web) -> None:
    site.replies = [reply(201, {"id": "p1"}, X_Request_Id="r-1")]
    call = Call(
        "POST", "v2/x", params={"a": "b c"}, json={"t": "ü"}, headers={"B": "2"}
    )

    answer = client(site, headers={"Authorization": "Bearer t0ken"}).send(call)

    [request] = site.requests
    assert (request.method, request.path) == ("POST", "/v2/x?a=b+c")
    assert request.headers["authorization"] == "Bearer t0ken"
    assert request.headers["b"] == "2"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("nexus-actors/")
    assert answer.json() == {"id": "p1"}
    assert (answer.status, answer.request_id) == (201, "r-1")


def test_calls_share_a_connection(site: Web) -> None:
    asker = client(site)

    for _ in range(5):
        asker.send(READ)

    assert (len(site.requests), site.connections) == (5, 1)


def test_threads_share_the_session_of_the_process(site: Web) -> None:
    site.replies = [reply(200, list(range(1000)))]
    asker = ApiClient(name="x", base_url=site.url())
    answers: list[Answer] = []

    def ask() -> None:
        answers.extend(asker.send(READ) for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answer.json() for answer in answers] == [list(range(1000))] * 160
    assert site.connections <= 8
    assert shared_session() is shared_session()


def test_a_forked_process_uses_none_of_its_parents_connections(site: Web) -> None:
    asker = client(site)
    asker.send(READ)

    child = os.fork()
    if not child:
        try:
            asker.send(READ)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    asker.send(READ)

    assert (len(site.requests), site.connections) == (3, 2)


def test_no_cookie_is_kept(site: Web) -> None:
    site.replies = [reply(Set_Cookie="a=b")]
    asker = client(site)

    asker.send(READ)
    asker.send(READ)

    assert "cookie" not in site.requests[1].headers


def test_a_login_in_netrc_does_not_replace_the_token(
    site: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    client(site, headers={"Authorization": "Bearer t0ken"}).send(READ)

    assert site.requests[0].headers["authorization"] == "Bearer t0ken"


FAULTS = ["hang up", "half", "half json", "silence", "drip", "headers", "no http"]


def fault(site: Web, name: str) -> Reply:
    def no_http(connection: socket.socket, _: object) -> None:
        connection.sendall(b"SSH-2.0\r\n\r\n")

    return {
        "hang up": hang_up,
        "half": reply(200, {"id": 1}, Content_Length=99),
        "half json": reply(200, b'{"id": '),
        "silence": site.say_nothing,
        "drip": site.drip,
        "headers": stalling_headers(site.over),
        "no http": no_http,
    }[name]


@pytest.mark.parametrize("name", FAULTS)
def test_a_commit_that_is_not_properly_answered_has_an_unknown_outcome(
    site: Web, name: str
) -> None:
    site.replies = [fault(site, name)]
    started = time.monotonic()

    with pytest.raises(UnknownOutcomeError, match="it may have been done"):
        client(site).send(COMMIT).json()

    assert len(site.requests) == 1
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("name", FAULTS)
def test_a_read_that_is_not_properly_answered_may_be_tried_again(
    site: Web, name: str
) -> None:
    site.replies = [fault(site, name)]

    with pytest.raises(RemoteUnavailableError):
        client(site).send(READ).json()


def test_a_read_is_repeated_until_it_is_answered(site: Web) -> None:
    site.replies = [hang_up, reply(502), reply(200, {"id": 1})]
    asker = ApiClient(name="x", base_url=site.url(), session=Session())

    assert asker.send(READ).json() == {"id": 1}
    assert len(site.requests) == 3


def test_a_read_is_not_repeated_for_ever(site: Web) -> None:
    site.replies = [reply(500)]
    asker = ApiClient(name="tiktok", base_url=site.url(), session=Session())

    assert failure(asker, READ).message == (
        "tiktok: GET /me was answered with 500 Internal Server Error"
    )
    assert len(site.requests) == 3


@pytest.mark.parametrize("call", [READ, COMMIT])
def test_where_nothing_was_sent_nothing_has_happened(site: Web, call: Call) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        refused = failure(ApiClient(name="tiktok", base_url=url, limits=QUICK), call)
    unknown = failure(
        ApiClient(name="tiktok", base_url="http://x.invalid", limits=QUICK), call
    )
    no_tls = failure(
        ApiClient(name="tiktok", base_url=site.url().replace("http:", "https:")), call
    )

    for error in (refused, unknown, no_tls):
        assert type(error) is RemoteUnavailableError
    assert refused.message == f"tiktok: {call}: not reached: connection refused"
    assert unknown.message == f"tiktok: {call}: not reached: its name is not known"
    assert site.requests == []


def test_a_server_whose_certificate_is_not_good_is_told_nothing(
    tmp_path: Path,
) -> None:
    _, context = certificate(tmp_path, "localhost")
    with web(context=context) as site:
        error = failure(client(site), COMMIT)

    assert type(error) is RemoteUnavailableError
    assert "its certificate is not good: self-signed" in error.message
    assert site.requests == []


def test_a_connection_that_the_server_has_closed_is_not_used_again(site: Web) -> None:
    asker = client(site)
    site.replies = [reply(Connection="close"), hang_up, reply(200)]
    asker.send(READ)
    failure(asker, COMMIT)

    assert asker.send(COMMIT).status == 200


def test_a_refusal_stands_even_if_its_words_are_cut_off(site: Web) -> None:
    site.replies = [reply(400, b"because", Content_Length=99)]

    error = failure(client(site), COMMIT)

    assert type(error) is RejectedError
    assert error.details["status"] == 400


def test_an_early_refusal_of_a_large_body_is_heard(tmp_path: Path) -> None:
    (tmp_path / "v").write_bytes(b"x" * 30_000_000)

    def refuse(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 20):  # takes the rest, or the answer is lost
                pass

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        threading.Thread(target=refuse, args=(listener,), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        error = failure(
            ApiClient(name="tiktok", session=Session()),
            Call("PUT", url, body=FileSlice.of(tmp_path / "v")),
        )

    assert "413" in error.message


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(401), AuthorizationError),
        (reply(404), RejectedError),
        (reply(429, Retry_After=9), Postponed),
        (reply(503, Retry_After=9), Postponed),
        (reply(500), UnknownOutcomeError),
    ],
)
def test_a_refused_commit_is_made_once_and_keeps_the_evidence(
    site: Web, answer: Reply, kind: type[NexusError]
) -> None:
    site.replies = [answer]

    error = failure(client(site), COMMIT)

    assert type(error) is kind
    assert error.details["status"] in {401, 404, 429, 503, 500}
    assert len(site.requests) == 1


def test_an_error_has_the_request_id_and_the_start_of_the_body(site: Web) -> None:
    site.replies = [reply(400, {"why": "x" * 1000}, X_Request_Id="r-7")]

    error = failure(client(site), COMMIT)

    assert error.details["request_id"] == "r-7"
    assert error.details["body"].startswith('{"why": "xxx')
    assert len(error.details["body"]) == 500


class VendorClient(ApiClient):
    """Reads the verdict, and the id, in the body."""

    def judge(self, answer: Answer) -> NexusError | None:
        code = answer.json()["error"]["code"]
        if code == "spam_risk":
            return RejectedError(f"refused: {code}", code=code)
        return super().judge(answer)

    def request_id(self, answer: Answer) -> str | None:
        return str(answer.json()["error"]["log_id"])


def test_a_vendors_client_reads_the_verdict_in_the_body(site: Web) -> None:
    site.replies = [
        reply(200, {"error": {"code": "spam_risk", "log_id": "L1"}}),
        reply(200, {"error": {"code": "ok", "log_id": "L2"}}),
    ]
    vendor = VendorClient(name="tiktok", base_url=site.url(), session=Session())

    error = failure(vendor, COMMIT)

    assert (error.message, error.code) == ("tiktok: refused: spam_risk", "spam_risk")
    assert error.details["request_id"] == "L1"
    assert vendor.send(COMMIT).request_id == "L2"


def test_the_hook_sees_the_headers_of_every_answer(site: Web) -> None:
    site.replies = [reply(200, X_App_Usage="79"), reply(400, X_App_Usage="81")]
    seen: list[str] = []
    asker = client(site, on_answer=lambda a: seen.append(a.headers["x-app-usage"]))

    asker.send(COMMIT)
    failure(asker, COMMIT)

    assert seen == ["79", "81"]


def test_a_hook_that_fails_does_not_make_a_done_commit_look_undone(site: Web) -> None:
    def fail(_: Answer) -> None:
        raise ConnectionError("no budget")

    assert client(site, on_answer=fail).send(COMMIT).status == 200


SECRETS = ["s3cret-token", "s3cret-query", "s3cret-form", "s3cret-path"]


@pytest.mark.parametrize("how", ["refused", "closed", "hang up", "bad header"])
def test_no_secret_is_in_an_error_its_traceback_or_a_log(
    site: Web, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = b" ".join(secret.encode() for secret in SECRETS[:3])
    site.replies = [hang_up if how == "hang up" else reply(400, echo)]
    port = 9 if how == "closed" else site.port
    headers = {"Authorization": "Bearer s3cret-token" + "\n" * (how == "bad header")}
    asker = ApiClient(name="tiktok", headers=headers, session=Session(), limits=QUICK)
    call = Call(
        "POST",
        f"http://127.0.0.1:{port}/s3cret-path?access_token=s3cret-query",
        form={"client_secret": "s3cret-form"},
    )

    error = failure(asker, call)

    shown = "".join(traceback.format_exception(error)) + repr(error.details)
    shown += repr(error.__cause__) + repr(error.__context__) + caplog.text
    assert not [secret for secret in SECRETS if secret in shown]
    if how == "bad header":
        assert type(error) is ConfigurationError


def test_a_part_of_a_file_is_sent_as_it_is_with_its_length(
    site: Web, tmp_path: Path
) -> None:
    content = os.urandom(1 << 20) * 8
    (tmp_path / "v.mp4").write_bytes(content)
    site.replies = [reply(308, Range="bytes=0-99"), reply(201)]
    asker = ApiClient(name="youtube", session=Session())

    def put(part: FileSlice) -> Answer:
        headers = {"Content-Range": part.content_range}
        call = Call("PUT", site.url(), body=part, headers=headers, accept={308})
        return asker.send(call)

    first = put(FileSlice.of(tmp_path / "v.mp4", 0, 100))
    rest = put(FileSlice.of(tmp_path / "v.mp4", 100))

    assert (first.status, first.headers["range"]) == (308, "bytes=0-99")
    assert rest.status == 201
    assert b"".join(request.body for request in site.requests) == content
    assert site.requests[1].headers["content-length"] == str(len(content) - 100)
    assert site.requests[1].headers["content-range"] == "bytes 100-8388607/8388608"
    assert "transfer-encoding" not in site.requests[1].headers


def test_an_upload_that_the_server_does_not_take_is_stopped_when_it_must(
    tmp_path: Path,
) -> None:
    (tmp_path / "v").write_bytes(b"x" * 30_000_000)
    started = time.monotonic()

    def stop() -> None:
        if time.monotonic() - started > 0.5:
            raise KeyboardInterrupt

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        call = Call("PUT", url, body=FileSlice.of(tmp_path / "v"))
        with pytest.raises(KeyboardInterrupt):
            ApiClient(name="x", session=Session()).send(call, check=stop)

    assert time.monotonic() - started < 6


def test_a_slow_answer_that_keeps_moving_is_waited_for(site: Web) -> None:
    def slow(connection: socket.socket, _: object) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        for byte in b"1234":
            time.sleep(0.1)
            connection.sendall(bytes([byte]))

    site.replies = [slow]

    assert client(site).send(COMMIT).json() == 1234


def test_no_more_of_an_answer_is_read_than_the_limit(site: Web) -> None:
    site.replies = [reply(200, b"x" * 100_000)]
    limits = Limits(answer_bytes=1000)
    asker = ApiClient(name="x", base_url=site.url(), session=Session(), limits=limits)

    answer = asker.send(COMMIT)

    assert (len(answer.body), answer.whole) == (1000, False)


def test_a_body_can_be_fetched_into_a_file(site: Web) -> None:
    site.replies = [reply(200, b"report" * 10_000)]
    file = io.BytesIO()

    client(site).fetch(READ, file, max_bytes=60_000)

    assert file.getvalue() == b"report" * 10_000


def test_a_proxy_of_the_environment_serves_the_vendors(
    site: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", site.url())
    monkeypatch.setenv("no_proxy", "")
    asker = ApiClient(name="x", base_url="http://api.example.com", session=Session())

    assert asker.send(COMMIT).status == 200
    assert site.requests[0].path == "http://api.example.com/publish"
