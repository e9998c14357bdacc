"""Every file of the shared media, as its manifest says; see its ``about``."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from manifest import ENTRIES, MANIFEST, REFUSED, refused
from nexus_actors.core.errors import PermanentError
from nexus_actors.video.guard import admit
from nexus_actors.video.models import ProcessVideoOptions
from nexus_actors.video.plan import make_plan
from nexus_actors.video.probe import probe
from nexus_actors.video.settings import VideoSettings
from nexus_actors.video.tools import Tools
from scale import full
from screening import Screen, Screening, leftovers, local, run, streams


pytestmark = pytest.mark.media

#: Each of another kind; the others are sent at full scale, and else only probed and
#: planned, or refused.
DAILY = {
    "vfr_h263_sar_phone.3gp",
    "vp9_odd_161x121.webm",
    "rot_and_mirror.mp4",
    "hlg_hevc_1080p.mp4",
    "animated.gif",
    "made_coverart_first.mp4",
    "edge_fragmented_bogus_duration.mp4",
    "made_truncated_half.mp4",
    "made_hls_sibling.mp4",
    "made_bomb_11h.mp4",
    "limit_vvc_unsupported.mp4",
    "audio_only_eac3_51.mp4",
}

#: Kinds whose frames come at no steady rate, so that more of them are shown.
UNSTEADY = {"vfr", "gif", "no_duration", "avi", "wmv"}

#: How many samples a second our sound has, and how many one block of AAC.
SOUND_RATE, BLOCK = 48_000, 1024

#: What the files which must open no connection name.
LISTENER = b"127.0.0.1:18080"

GOOD = [n for n, e in ENTRIES.items() if not refused(e) and "note" not in e]
SSRF = [n for n, e in ENTRIES.items() if e["kind"] == "ssrf"]


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_is_known_and_planned_as_it_is(
    shared_media: Path, tmp_path: Path, tools: Tools, name: str
) -> None:
    settings = VideoSettings.load()

    media = probe(admit(str(shared_media / name), tmp_path, settings), tools, settings)
    plan = make_plan(media, ProcessVideoOptions(), settings, tools=tools)

    check_record(media.to_json(), ENTRIES[name]["expected"])
    check_sizes([(r.width, r.height) for r in plan.video], ENTRIES[name]["expected"])


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[full] * (n not in DAILY)) for n in ENTRIES]
)
def test_a_file_that_is_sent_ends_as_the_manifest_says(
    shared_media: Path, environ: dict[str, str], tmp_path: Path, name: str
) -> None:
    entry = ENTRIES[name]

    done = send(shared_media / name, environ)

    answer = json.loads(done.stdout)
    assert "Traceback" not in done.stderr
    if done.returncode == 0:
        assert not refused(entry)
        shown = Screening(answer)
        check_record(shown.result["metadata"], entry["expected"])
        check_films(shown, entry["expected"])
        check_rate(shown, entry)
        check_playlists(shown, entry["expected"])
    else:
        assert done.returncode == 1
        assert (answer["status"], answer["error"]["retryable"]) == ("failed", False)
        assert answer["error"]["code"] in codes(entry)
        assert len(done.stderr.splitlines()) == 1
        assert answer["error"]["message"] in done.stderr
        assert leftovers(tmp_path) == []


def send(
    file: Path, environ: dict[str, str], *, thumbnails: bool = False
) -> subprocess.CompletedProcess[str]:
    """Send a file to be processed at once, as a person does."""
    options = {"formats": ["hls", "dash", "mp4"], "thumbnails": thumbnails}
    body = {"video_id": "v1", "input_path": str(file), "options": options}
    command = [sys.executable, "-m", "nexus_actors", "send", "process_video"]
    return subprocess.run(
        [*command, "--inline", "--json", json.dumps(body)],
        env=environ | {"FFMPEG_PRESET": "ultrafast"},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


#: What a phone writes into a film that is nobody's business, and where it does so.
PRIVATE = ("+48.1173+011.5167/", "Erika Mustermann", "Pocket Camera 9")
PLACES = (b"loci", b"\xa9xyz", b"mdta", *(word.encode() for word in PRIVATE))


@pytest.mark.parametrize("name", ["phone.mov", pytest.param("phone.mkv", marks=full)])
def test_where_and_by_whom_a_film_was_made_is_told_to_nobody(
    environ: dict[str, str], tmp_path: Path, name: str
) -> None:
    place, person, camera = PRIVATE
    told = {"com.apple.quicktime.location.ISO6709": place, "location": place}
    told |= {"artist": person, "comment": person, "com.apple.quicktime.model": camera}
    tags = [word for tag in told.items() for word in ("-metadata", "=".join(tag))]
    moving = ["-f", "lavfi", "-i", "testsrc2=size=64x36:rate=25:duration=0.4"]
    sound = ["-f", "lavfi", "-i", "sine=duration=0.4"]
    keys = ["-movflags", "use_metadata_tags"] * (name == "phone.mov")
    source = tmp_path / name
    run(["ffmpeg", "-v", "error", *moving, *sound, *tags, *keys, str(source)])
    assert all(word.encode() in source.read_bytes() for word in PRIVATE)

    done = send(source, environ, thumbnails=True)

    assert done.returncode == 0, done.stderr
    files = [p for p in (tmp_path / "storage").rglob("*") if p.is_file()]
    assert {".mp4", ".m4s", ".jpg", ".json"} <= {path.suffix for path in files}
    for content in (
        *(f.read_bytes() for f in files),
        (done.stdout + done.stderr).encode(),
    ):
        assert [found for found in PLACES if found in content] == []


def codes(entry: dict[str, Any]) -> set[str]:
    """Return the codes with which a file may be refused."""
    if refused(entry):
        return {entry["expected"]["must_be_refused"]}
    return {"corrupt", "truncated"} if "refuse" in entry.get("note", "") else set()


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused_for_its_reason_and_leaves_nothing(
    shared_media: Path, screen: Screen, tmp_path: Path, name: str
) -> None:
    with pytest.raises(PermanentError) as error:
        screen(shared_media / name)

    assert error.value.code == ENTRIES[name]["expected"]["must_be_refused"]
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", MANIFEST["awkward_names"])
def test_a_file_may_be_called_as_its_user_likes(
    shared_media: Path, screen: Screen, tmp_path: Path, name: str
) -> None:
    source = tmp_path / name
    shutil.copy(shared_media / "plain_name.mp4", source)

    shown = screen(source)

    check_films(shown, ENTRIES["plain_name.mp4"]["expected"])
    assert all(made.is_file() for made in shown.mp4s)


def test_a_list_of_other_files_opens_none_and_no_connection(
    shared_media: Path, screen: Screen, tmp_path: Path
) -> None:
    # everything beside it that it may name is there to be read
    beside = tmp_path / "uploads"
    shutil.copytree(shared_media, beside)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = b"127.0.0.1:%d" % listener.getsockname()[1]
        contents = {name: (beside / name).read_bytes() for name in SSRF}
        assert any(LISTENER in content for content in contents.values())

        for name, content in contents.items():
            (beside / name).unlink()
            (beside / name).write_bytes(content.replace(LISTENER, ours))
            with pytest.raises(PermanentError):
                screen(beside / name)

        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert leftovers(tmp_path) == []


#: A program that writes down all that it opens.
NOTED = """#!/bin/sh
FFREPORT=file={log}/$$.log:level=48 exec {program} "$@"
"""

#: What ffmpeg's libraries write down of each file and connection.
OPENED = re.compile(r"Opening '([^']+)' for reading")


@pytest.mark.parametrize(
    ("kind", "files"), [("ssrf", set()), ("bomb", {"in"}), ("unsupported", {"in"})]
)
def test_of_what_is_refused_nothing_else_is_opened_and_no_picture_is_made(
    kind: str,
    files: set[str],
    shared_media: Path,
    screen: Screen,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = tmp_path / "log"
    log.mkdir()
    for name in ("ffmpeg", "ffprobe"):
        script = tmp_path / name
        script.write_text(NOTED.format(log=log, program=shutil.which(name)))
        script.chmod(0o755)
        monkeypatch.setenv(f"NEXUS_{name.upper()}", str(script))

    wrong = [shared_media / n for n in REFUSED if ENTRIES[n]["kind"] == kind]
    if kind == "unsupported":
        wrong.append(of_no_codec(shared_media / "plain_name.mp4", tmp_path / "a.mp4"))
    for file in wrong:
        with pytest.raises(PermanentError):
            screen(file)

    said = [path.read_text(errors="replace") for path in log.glob("*.log")]
    assert {Path(name).name for text in said for name in OPENED.findall(text)} == files
    # ffmpeg was asked what it can do, and for nothing else
    assert not any("ffmpeg started" in text and " -i " in text for text in said)


def of_no_codec(film: Path, target: Path) -> Path:
    """Give the picture of *film* a name that no ffmpeg has a decoder for."""
    target.write_bytes(film.read_bytes().replace(b"avc1", b"xyz1"))
    return target


def check_record(record: dict[str, Any], expected: dict[str, Any]) -> None:
    found = record["video"]
    assert found["codec"] == expected["codec"]
    stored = (found["width"], found["height"])
    upright = stored[::-1] if found["rotation"] in {90, 270} else stored
    assert upright == (expected["width"], expected["height"])
    assert found["display_width"] == expected["display_width"]
    assert found["display_height"] == expected["display_height"]
    assert found["rotation"] == expected["rotation"] % 360
    rates = (expected["fps"], expected["fps_counted"])
    assert any(found["fps"] == pytest.approx(rate, rel=0.05) for rate in rates)
    assert record["duration"] == pytest.approx(
        expected["video_seconds"], abs=max(0.15, 2 / expected["fps"])
    )
    assert bool(record["audio"]) is expected["has_audio"]


def check_sizes(sizes: list[tuple[int, int]], expected: dict[str, Any]) -> None:
    shape = expected["display_width"] / expected["display_height"]
    for width, height in sizes:
        assert width % 2 == height % 2 == 0
        assert width <= expected["display_width"]
        assert height <= expected["display_height"]
        assert width / height == pytest.approx(
            shape, abs=shape * 2 / min(width, height)
        )


def check_films(shown: Screening, expected: dict[str, Any]) -> None:
    check_sizes(shown.sizes, expected)
    allowed = max(0.15, 2 / expected["fps"])
    for file, size in zip(shown.mp4s, shown.sizes, strict=True):
        picture, sound = shown.picture(file), streams(file, "a")
        assert (picture["width"], picture["height"]) == size
        seconds = float(picture["duration"])
        assert seconds == pytest.approx(expected["video_seconds"], abs=allowed)
        # every frame that the header lists was decoded
        assert picture["nb_read_frames"] == picture["nb_frames"]
        assert float(picture["start_time"]) == 0
        assert bool(sound) is expected["has_audio"]
        for track in sound:
            # it ends in the block of samples in which the picture ends
            assert -0.001 < float(track["duration"]) - seconds < BLOCK / SOUND_RATE
            assert float(track["start_time"]) == 0
            # the first block readies the decoder, and is before 0: all others are heard
            assert int(track["nb_frames"]) - int(track["nb_read_frames"]) == 1
            samples = round(seconds * SOUND_RATE)
            assert int(track["nb_read_frames"]) == ceil(samples / BLOCK)


def check_rate(shown: Screening, entry: dict[str, Any]) -> None:
    """Hold the largest film's frames a second against the source's, or a part of it."""
    rate = Fraction(shown.picture()["r_frame_rate"])
    wanted = entry["expected"]["fps"]
    if entry["kind"] in UNSTEADY:
        assert 0.9 * wanted <= rate <= 60
    else:
        assert any(rate == pytest.approx(wanted / n, rel=0.05) for n in (1, 2, 4))


def check_playlists(shown: Screening, expected: dict[str, Any]) -> None:
    """Look at what players of both kinds find: the same films as the files."""
    films = {frames(track) for file in shown.mp4s for track in tracks(file, "video")}
    seconds = float(shown.picture()["duration"])
    made = shown.result["outputs"]
    hls = local(made["hls"]["master"]["uri"])
    dash = local(made["dash"]["manifest"]["uri"])
    for entry in (hls, dash):
        assert {frames(track) for track in tracks(entry, "video")} == films
        assert bool(tracks(entry, "audio")) is expected["has_audio"]
    for rendition in made["hls"]["renditions"]:
        listed = local(rendition["playlist"]["uri"]).read_text()
        told = re.findall(r"#EXTINF:([0-9.]+)", listed)
        assert sum(map(float, told)) == pytest.approx(seconds, abs=0.01)
    told = re.findall(r'mediaPresentationDuration="PT([0-9.]+)S"', dash.read_text())
    # sound comes in blocks of 21 ms: the last one may end later
    assert float(told[0]) == pytest.approx(seconds, abs=0.03)


def tracks(file: Path, kind: str) -> list[dict[str, Any]]:
    """Return what ffprobe finds behind an entry, all packets read."""
    options = ["-count_packets", "-show_streams", "-of", "json"]
    printed = run(["ffprobe", "-v", "error", *options, str(file)])
    found: list[dict[str, Any]] = json.loads(printed)["streams"]
    return [stream for stream in found if stream["codec_type"] == kind]


def frames(track: dict[str, Any]) -> tuple[int, int, str]:
    return track["width"], track["height"], track["nb_read_packets"]
