"""Every file of the shared media, as its manifest says; see its ``about``."""

from __future__ import annotations

import shutil
import socket
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
from screening import Screen, Screening, leftovers, streams


pytestmark = pytest.mark.media

#: What takes long to encode: elsewhere than at full scale, only probed and planned.
HEAVY = {"limit_long_362s.mp4", "h264_1080p_51audio_12s.mp4", "vp8_720p_30s.webm"}

#: What the files which must open no connection name.
LISTENER = b"127.0.0.1:18080"

GOOD = [n for n, e in ENTRIES.items() if not refused(e) and "note" not in e]
NOTED = [n for n, e in ENTRIES.items() if "note" in e]
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
    "name", [pytest.param(n, marks=[full] * (n in HEAVY)) for n in GOOD]
)
def test_a_good_file_becomes_films_of_the_same_look_and_length(
    shared_media: Path, screen: Screen, name: str
) -> None:
    shown = screen(shared_media / name)

    check_films(shown, ENTRIES[name]["expected"])


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused_for_its_reason_and_leaves_nothing(
    shared_media: Path, screen: Screen, tmp_path: Path, name: str
) -> None:
    with pytest.raises(PermanentError) as error:
        screen(shared_media / name)

    assert error.value.code == ENTRIES[name]["expected"]["must_be_refused"]
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", NOTED)
def test_a_doubtful_file_ends_as_its_note_allows(
    shared_media: Path, screen: Screen, tmp_path: Path, name: str
) -> None:
    expected = ENTRIES[name]["expected"]

    shown = ended(screen, shared_media / name)

    if isinstance(shown, PermanentError):
        assert "refuse" in ENTRIES[name]["note"]
        assert shown.code in {"corrupt", "truncated"}
        assert leftovers(tmp_path) == []
    else:
        check_record(shown.result["metadata"], expected)
        check_films(shown, expected)


def ended(screen: Screen, file: Path) -> Screening | PermanentError:
    try:
        return screen(file)
    except PermanentError as error:
        return error


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
            assert float(track["duration"]) == pytest.approx(seconds, abs=0.05)
            assert track["nb_read_frames"] == track["nb_frames"]
