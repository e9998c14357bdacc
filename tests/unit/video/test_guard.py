"""What may come in, and how."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nexus_actors.video.errors import SourceError
from nexus_actors.video.guard import admit
from nexus_actors.video.settings import VideoSettings


#: Begins like an MP4; the guard looks no further.
MEDIA = b"\x00\x00\x00\x1cftypisom\x00\x00\x02\x00isomiso2mp41" + bytes(range(256)) * 9

AWKWARD = [
    "-dash first.mp4",
    "-i.mp4",
    "space 'quote' & $(x).mp4",
    'line"quote`.mp4',
    "a:b%03d.mp4",
    "concat:a|b.mp4",
    "üñïcød\N{LATIN SMALL LETTER E WITH ACUTE} ☃ 你好.mp4",
    "two\nlines.mp4",
    "file:x",
    "no suffix",
]


@pytest.fixture
def settings() -> VideoSettings:
    return VideoSettings.load()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "work"


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder of another file system."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no second file system to copy from")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


def write(path: Path, content: bytes = MEDIA) -> Path:
    path.write_bytes(content)
    return path


def refusal(path: str | Path, folder: Path, **settings: int) -> SourceError:
    with pytest.raises(SourceError) as caught:
        admit(str(path), folder, VideoSettings.load(settings))
    assert not caught.value.retryable
    assert len(caught.value.message.splitlines()) == 1
    assert not folder.exists() or not list(folder.iterdir())
    return caught.value


@pytest.mark.parametrize("name", AWKWARD)
def test_no_part_of_an_awkward_name_reaches_the_job(
    name: str, tmp_path: Path, folder: Path, settings: VideoSettings
) -> None:
    source = admit(str(write(tmp_path / name)), folder, settings)

    assert source.path == folder / "in"
    assert source.path.read_bytes() == MEDIA
    assert source.size == len(MEDIA)
    assert source.sha256 == hashlib.sha256(MEDIA).hexdigest()


@pytest.mark.parametrize("name", AWKWARD)
def test_a_percent_encoded_url_means_the_same_file(
    name: str, tmp_path: Path, folder: Path, settings: VideoSettings
) -> None:
    url = write(tmp_path / name).as_uri()

    assert admit(url, folder, settings).size == len(MEDIA)


def test_a_url_may_name_a_file_whose_name_is_no_unicode(
    tmp_path: Path, folder: Path, settings: VideoSettings
) -> None:
    write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.mp4")))

    assert admit(f"file://localhost{tmp_path}/%FF%FE.mp4", folder, settings).size


def test_a_url_of_another_host_is_refused(folder: Path) -> None:
    error = refusal("file://nas/share/a.mp4", folder)

    assert error.code == "not_found"
    assert "'nas'" in error.message


def test_a_link_is_followed_to_its_file(
    tmp_path: Path, folder: Path, settings: VideoSettings
) -> None:
    write(tmp_path / "real.mp4")
    (tmp_path / "link.mp4").symlink_to("real.mp4")

    source = admit(str(tmp_path / "link.mp4"), folder, settings)

    assert not source.path.is_symlink()
    assert source.path.samefile(tmp_path / "real.mp4")


def test_a_file_of_the_same_file_system_is_not_copied(
    tmp_path: Path, folder: Path, settings: VideoSettings
) -> None:
    upload = write(tmp_path / "a.mp4")

    source = admit(str(upload), folder, settings)
    upload.unlink()

    assert source.path.read_bytes() == MEDIA


def test_a_file_of_another_file_system_is_copied_whole(
    elsewhere: Path, folder: Path, settings: VideoSettings
) -> None:
    content = MEDIA * 1000

    source = admit(str(write(elsewhere / "a.mp4", content)), folder, settings)

    assert [path.name for path in folder.iterdir()] == ["in"]
    assert source.path.read_bytes() == content
    assert source.sha256 == hashlib.sha256(content).hexdigest()


def test_a_copy_that_is_stopped_leaves_nothing_behind(
    elsewhere: Path, folder: Path, settings: VideoSettings
) -> None:
    upload = write(elsewhere / "a.mp4", MEDIA * 1000)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        admit(str(upload), folder, settings, check=stop)

    assert list(folder.iterdir()) == []


def test_what_an_earlier_attempt_has_left_is_replaced(
    tmp_path: Path, folder: Path, settings: VideoSettings
) -> None:
    folder.mkdir()
    write(folder / "in", b"old")
    write(folder / "in.part", b"half")

    source = admit(str(write(tmp_path / "a.mp4")), folder, settings)

    assert source.path.read_bytes() == MEDIA


def test_a_missing_file_is_named_and_what_to_do_is_said(
    tmp_path: Path, folder: Path
) -> None:
    error = refusal(tmp_path / "gone.mp4", folder)

    assert error.code == "not_found"
    assert f"{tmp_path}/gone.mp4" in error.message
    assert "give a path that the worker can read" in error.message


@pytest.mark.parametrize(
    "path", ["a\0b.mp4", "file:///a%00b.mp4", "/" + "x" * 300, "/etc/passwd/x.mp4"]
)
def test_what_can_be_no_file_is_not_found(path: str, folder: Path) -> None:
    assert refusal(path, folder).code == "not_found"


def test_a_name_with_control_characters_is_quoted_in_the_message(
    tmp_path: Path, folder: Path
) -> None:
    error = refusal(write(tmp_path / "a\n\x1b[31mb.mp4", b""), folder)

    assert error.code == "empty"
    assert r"a\n\x1b[31mb.mp4" in error.message


@pytest.mark.parametrize("kind", ["folder", "fifo", "device"])
def test_what_is_no_regular_file_is_refused_at_once(
    kind: str, tmp_path: Path, folder: Path
) -> None:
    path = tmp_path / "a.mp4"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path = Path("/dev/zero")
    started = time.monotonic()

    error = refusal(path, folder)

    assert error.code == "not_media"
    assert time.monotonic() - started < 10


def test_links_in_a_circle_are_not_found(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "a.mp4").symlink_to("a.mp4")

    assert refusal(tmp_path / "a.mp4", folder).code == "not_found"


def test_a_file_beyond_the_limit_names_the_setting(
    tmp_path: Path, folder: Path
) -> None:
    error = refusal(write(tmp_path / "a.mp4"), folder, max_input_bytes=1000)

    assert error.code == "too_large"
    assert "1,000" in error.message
    assert "NEXUS_VIDEO_MAX_INPUT_BYTES" in error.message


PLAYLISTS = {
    "hls": b"#EXTM3U\n#EXTINF:1,\nother.mp4\n",
    "ffconcat": b"ffconcat version 1.0\nfile other.mp4\n",
    "concat": b"file 'other.mp4'\n",
    "dash": b'<?xml version="1.0"?>\n<!-- x --><MPD xmlns="urn:mpeg:dash"></MPD>',
    "bare dash": b"<MPD><BaseURL>http://127.0.0.1/</BaseURL></MPD>",
    "smooth": b'<?xml version="1.0"?><SmoothStreamingMedia>',
    "sdp": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n",
    "pls": b"[playlist]\nFile1=http://127.0.0.1/\n",
    "svg": b'<!DOCTYPE svg PUBLIC "x"><svg><image href="/etc/passwd"/></svg>',
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize(
    "before", [b"", b"\xef\xbb\xbf", b" \r\n\t", b"\xef\xbb\xbf\n"]
)
def test_a_disguised_playlist_is_refused_before_any_tool_sees_it(
    kind: str, before: bytes, tmp_path: Path, folder: Path
) -> None:
    error = refusal(write(tmp_path / "a.mp4", before + PLAYLISTS[kind]), folder)

    assert error.code == "forbidden_format"
    assert f"{tmp_path}/a.mp4" in error.message
    assert "upload the video itself" in error.message


def test_a_manifest_behind_hostile_comments_is_refused_in_no_time(
    tmp_path: Path, folder: Path
) -> None:
    content = b"<?xml?>" + b"<!---->" * 500 + b"<MPX\x00"
    upload = write(tmp_path / "a.mp4", content)
    started = time.monotonic()

    admit(str(upload), folder, VideoSettings.load())

    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "text", [b"just words\n" * 20, b" " * 5000, "naïve — ☃".encode(), b"<html></html>"]
)
def test_text_is_no_media(text: bytes, tmp_path: Path, folder: Path) -> None:
    error = refusal(write(tmp_path / "a.mp4", text), folder)

    assert error.code == "not_media"
    assert "upload a media file" in error.message


@pytest.mark.parametrize(
    ("begin", "what"),
    [
        (b"PK\x03\x04\x14\0", "a ZIP archive"),
        (b"\x1f\x8b\x08\0", "a gzip archive"),
        (b"Rar!\x1a\x07\x01\0", "a RAR archive"),
        (b"7z\xbc\xaf\x27\x1c\0", "a 7z archive"),
        (b"%PDF-1.7\n\0", "a PDF document"),
    ],
)
def test_archives_and_documents_are_told_as_such(
    begin: bytes, what: str, tmp_path: Path, folder: Path
) -> None:
    error = refusal(write(tmp_path / "a.mp4", begin + MEDIA), folder)

    assert error.code == "not_media"
    assert error.message.endswith(f"a.mp4 is {what}; upload the video itself")


@pytest.mark.media
def test_the_shared_media_that_the_guard_must_refuse_are_refused(
    shared_media: Path, folder: Path
) -> None:
    files = json.loads((shared_media / "manifest.json").read_text())["files"]
    wanted = {f["file"]: f["expected"].get("must_be_refused") for f in files}
    codes = {"empty", "not_media", "forbidden_format"}
    refused = {name: code for name, code in wanted.items() if code in codes}

    found = {name: refusal(shared_media / name, folder).code for name in refused}

    assert found == refused
    assert len(found) == 8
