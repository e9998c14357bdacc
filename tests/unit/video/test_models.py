"""What a message may say; the rest is shown where it is used."""

from __future__ import annotations

import traceback

import pytest

from nexus_actors.core.errors import InvalidRequestError
from nexus_actors.video.models import ProcessVideoRequest


def parse(input_path: str) -> ProcessVideoRequest:
    body = {"video_id": "v1", "input_path": input_path}
    return ProcessVideoRequest.parse(body, what="process_video")


@pytest.mark.parametrize(
    "input_path",
    [
        *["/path/to/video.mp4", "video.mp4", "file:///path/to/video.mp4"],
        *["/odd/a://b.mp4", "a:b.mp4", "concat:a|b.mp4", "https/a.mp4", "//nas/a.mp4"],
        *[
            "https://example.com/a.mp4",
            "HTTPS://EXAMPLE.COM",
            "http://127.0.0.1:8025/a",
        ],
        *["s3://bucket/key", "s3://bucket/a b/#1?.mp4"],
        "https://bucket.s3.example.com/a%20b.mp4?X-Amz-Signature=" + "0" * 3000,
    ],
)
def test_an_input_is_a_path_or_a_url_whatever_is_there(input_path: str) -> None:
    assert parse(input_path).input_path == input_path


@pytest.mark.parametrize(
    ("input_path", "told"),
    [
        ("", "at least 1 character"),
        ("a\0b.mp4", "NUL"),
        ("ftp://example.com/s3cret", "ftp:// inputs are not supported; give a path"),
        ("gs://bucket/s3cret", "gs:// inputs are not supported; give a path"),
        ("s3://s3cret", "must name an object, such as s3://bucket/key"),
        ("s3://s3cret/", "must name an object"),
        ("s3:///s3cret", "must name an object"),
        ("S3://bucket/s3cret", "must name an object"),
        ("s3://bucket/s3cret\n.mp4", "must name an object"),
        ("https://me:s3cret@example.com/a.mp4", "no user"),
        ("https://s3cret@example.com/a.mp4", "no user"),
        ("https://example.com/a.mp4?t=s3cret#t=5", "no #fragment"),
        ("https:example.com/a.mp4?t=s3cret", "must begin with https://"),
        ("https:/example.com/a.mp4?t=s3cret", "must begin with https://"),
        ("https:///a.mp4?t=s3cret", "must begin with https://"),
        (" https://example.com/a.mp4?t=s3cret", "holds a space"),
        ("https://example.com/a b.mp4?t=s3cret", "holds a space"),
        ("https://example.com/a.mp4\n?t=s3cret", "control character"),
        ("https://2130706433/a.mp4?t=s3cret", "no IPv4 address"),
        ("https://[::1/a.mp4?t=s3cret", "host must be a name"),
        ("https://example.com/?t=s3cret" + "0" * 4096, "at most 4096 characters"),
    ],
)
def test_what_can_be_no_input_is_told_without_showing_it(
    input_path: str, told: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse(input_path)

    assert told in caught.value.message
    assert caught.value.message.startswith("process_video: input_path: ")
    assert list(caught.value.details["fields"]) == ["input_path"]
    shown = "".join(traceback.format_exception(caught.value))
    assert "s3cret" not in shown + repr(caught.value.details)


def test_a_url_which_may_be_a_secret_is_not_shown_with_its_message() -> None:
    assert "s3cret" not in repr(parse("https://example.com/?t=s3cret"))
