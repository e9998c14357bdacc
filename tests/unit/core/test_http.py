"""Calls, answers and slices by themselves; the wire is in the integration tests."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    AuthorizationError,
    NexusError,
    Postponed,
    RejectedError,
    RemoteUnavailableError,
    ResourceError,
    UnknownOutcomeError,
)
from nexus_actors.core.http import Answer, ApiClient, Call, FileSlice


CLIENT = ApiClient(name="tiktok")
READ = Call("GET", "/x")
COMMIT = Call("POST", "/x")


def judged(status: int, call: Call = COMMIT, **headers: str) -> NexusError | None:
    spelled = {name.replace("_", "-"): value for name, value in headers.items()}
    return CLIENT.judge(Answer("tiktok", call, status, spelled, b""))


@pytest.mark.parametrize(
    ("status", "call", "kind"),
    [
        *[(200, COMMIT, None), (201, COMMIT, None), (204, COMMIT, None)],
        *[(400, COMMIT, RejectedError), (404, READ, RejectedError)],
        *[(301, READ, RejectedError), (308, COMMIT, RejectedError)],
        *[(401, READ, AuthorizationError), (403, COMMIT, AuthorizationError)],
        *[(408, COMMIT, RemoteUnavailableError), (429, COMMIT, Postponed)],
        *[(500, READ, RemoteUnavailableError), (503, READ, RemoteUnavailableError)],
        *[(500, COMMIT, UnknownOutcomeError), (503, COMMIT, UnknownOutcomeError)],
        *[(599, COMMIT, UnknownOutcomeError), (999, COMMIT, UnknownOutcomeError)],
    ],
)
def test_a_status_means_one_kind_of_error(
    status: int, call: Call, kind: type[NexusError] | None
) -> None:
    error = judged(status, call)

    assert error is None if kind is None else type(error) is kind


def test_the_caller_says_which_further_statuses_are_answers() -> None:
    assert judged(308, Call("PUT", "/x", accept={308, 416})) is None


def test_the_caller_says_that_a_5xx_proves_that_nothing_happened() -> None:
    error = judged(502, Call("POST", "/x", undone_on_5xx=True))

    assert type(error) is RemoteUnavailableError


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "PATCH"])
def test_only_reading_is_repeatable_unless_the_caller_says_so(method: str) -> None:
    assert Call("GET", "/x").repeatable
    assert not Call(method, "/x").repeatable
    assert Call(method, "/x", idempotent=True).repeatable
    assert not Call("GET", "/x", idempotent=False).repeatable


def waits(status: int = 429, **headers: str) -> float:
    error = judged(status, COMMIT, **headers)
    assert isinstance(error, Postponed)
    return (error.until - clock.now()).total_seconds()


def at(seconds: float) -> str:
    return format_datetime(clock.now() + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_when_to_come_again(status: int) -> None:
    assert waits(status, Retry_After="7") == pytest.approx(7, abs=3)
    assert waits(status, Retry_After=at(90)) == pytest.approx(90, abs=10)


def test_a_date_counts_by_the_clock_of_the_server_that_gave_it() -> None:
    assert waits(Retry_After=at(3690), Date=at(3600)) == pytest.approx(90, abs=10)


@pytest.mark.parametrize(
    "asked", ["", "soon", "-5", "1e3", "\u0667", "Mon, 99 Foo 2026"]
)
def test_a_wait_that_cannot_be_read_is_a_minute(asked: str) -> None:
    assert waits(Retry_After=asked) == pytest.approx(60, abs=10)


def test_a_wait_is_never_longer_than_a_day_nor_in_the_past() -> None:
    assert waits(Retry_After="999999999") == pytest.approx(86400, abs=10)
    assert waits(Retry_After=at(-3600)) == pytest.approx(0, abs=10)


def test_what_is_no_json_is_no_answer() -> None:
    for call, kind in ((READ, RemoteUnavailableError), (COMMIT, UnknownOutcomeError)):
        for body, whole in ((b"<html>", True), (b"", True), (b"{}", False)):
            answer = Answer("tiktok", call, 200, {}, body, whole, request_id="id-1")

            with pytest.raises(kind, match=r"tiktok: .* no JSON") as caught:
                answer.json()

            assert caught.value.details["request_id"] == "id-1"


def test_nothing_secret_is_in_what_a_log_would_show() -> None:
    url = "https://user:s3cret@up.example.com/s3cret?upload_id=s3cret#s3cret"
    call = Call(
        "PUT",
        url,
        params={"access_token": "s3cret"},
        headers={"Authorization": "Bearer s3cret"},
        body=b"s3cret",
        form={"client_secret": "s3cret"},
        json={"password": "s3cret"},
    )
    client = ApiClient(name="x", base_url=url, headers={"X-Key": "s3cret"})
    answer = Answer("x", call, 200, {"Set-Cookie": "s3cret"}, b"s3cret")

    shown = [f"{thing!r} {thing}" for thing in (call, client, answer)]

    assert "s3cret" not in " ".join(shown)
    assert str(call) == "PUT up.example.com"
    assert str(Call("GET", "/me?access_token=s3cret")) == "GET /me"


def test_a_slice_is_its_bytes_and_says_which(tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    path = tmp_path / "v.mp4"
    path.write_bytes(content)

    part = FileSlice.of(path, 1000, 200_000)

    assert b"".join(part) == b"".join(part) == content[1000:200_000]
    assert len(part) == 199_000
    assert part.content_range == "bytes 1000-199999/256000"
    assert max(len(block) for block in part) <= 65536
    assert FileSlice.of(path, 255_999, 10**9).content_range == (
        "bytes 255999-255999/256000"
    )
    assert len(FileSlice.of(path)) == 256_000


@pytest.mark.parametrize(("start", "stop"), [(3, 3), (4, None), (-1, 2), (9, 12)])
def test_a_slice_without_bytes_is_refused(
    start: int, stop: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(b"abc")

    with pytest.raises(ValueError, match="no bytes from"):
        FileSlice.of(path, start, stop)


def test_a_file_that_changes_while_it_is_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(b"abcdef")
    part = FileSlice.of(path)

    path.write_bytes(b"abc")
    with pytest.raises(RejectedError, match="became shorter"):
        list(part)
    path.unlink()
    with pytest.raises(ResourceError, match="cannot read"):
        list(part)
