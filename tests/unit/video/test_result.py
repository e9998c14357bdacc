"""The answer names what was made, where it lies, and nothing that is not there."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.storage import Storage
from nexus_actors.video.adapters import hls_ts
from nexus_actors.video.models import (
    Format,
    Plan,
    Presentation,
    ProcessVideoOptions,
    Segment,
    Sprites,
    Track,
)
from nexus_actors.video.plan import make_plan
from nexus_actors.video.publish import Published
from nexus_actors.video.result import outputs, poster, sprites, thumbnails
from nexus_actors.video.settings import VideoSettings
from nexus_actors.video.tools import Tools
from sources import media


TOOLS = Tools(Path("/bin/ffmpeg"), Path("/bin/ffprobe"), "5.1")

SEGMENT = Segment(
    name="00001.m4s", size=1000, start=0, duration=4000, frames=120, fragments=()
)


def track(name: str, width: int, height: int, peak: int) -> Track:
    return Track(
        kind="video",
        name=name,
        folder=f"v/{name}",
        timescale=1000,
        codecs=f"avc1.64{height:04x}",
        segments=(SEGMENT,),
        peak_bitrate=peak,
        average_bitrate=peak // 2,
        width=width,
        height=height,
        fps=Fraction(30000, 1001),
        progressive=True,
    )


def sound(name: str, peak: int) -> Track:
    spoken = replace(track(name, 0, 0, peak), kind="audio", folder=f"a/{name}")
    return replace(spoken, codecs="mp4a.40.2", channels=2, sample_rate=48000)


SHOWN = Presentation(
    video=(track("360", 640, 360, 700_000), track("240", 426, 240, 300_000)),
    audio=(sound("0", 130_000), sound("1", 64_000)),
)


def plan(*formats: Format) -> Plan:
    options = ProcessVideoOptions.model_validate({"formats": formats})
    source = media(width=640, height=360)
    return make_plan(source, options, VideoSettings.load(), tools=TOOLS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the files were made: of them only the size is asked."""
    (tmp_path / "mp4").mkdir()
    for name, size in (("360", 5000), ("240", 3000)):
        (tmp_path / "mp4" / f"{name}.mp4").write_bytes(bytes(size))
    return tmp_path


@pytest.fixture
def published(tmp_path: Path) -> Published:
    settings = {
        "storage_url": str(tmp_path / "storage"),
        "storage_public_url": "https://cdn.example/media",
    }
    storage = Storage.connect(CoreSettings.load(settings))
    paths = {"thumb/poster.jpg", "thumb/small.jpg", "thumb/medium.jpg"}
    return Published(storage, "film/v1", frozenset(paths))


URL = "https://cdn.example/media/film/v1"


def test_hls_lists_its_variants_with_what_a_player_must_know(
    published: Published, root: Path
) -> None:
    made = outputs(plan("hls"), SHOWN, published, root)

    assert made.hls
    assert made.hls.master.url == f"{URL}/hls/master.m3u8"
    assert made.hls.master.uri.endswith("/storage/film/v1/hls/master.m3u8")
    first, second = made.hls.renditions
    assert (first.name, first.width, first.height) == ("360", 640, 360)
    assert first.fps == 29.97
    assert first.playlist.url == f"{URL}/hls/v_360.m3u8"
    # the rate of the richest sound is in each variant's, as in the master playlist
    assert (first.bitrate, second.bitrate) == (830_000, 430_000)
    assert first.codecs == "avc1.640168,mp4a.40.2"


def test_a_film_without_sound_has_the_rate_and_codec_of_its_picture(
    published: Published, root: Path
) -> None:
    silent = replace(SHOWN, audio=())

    made = outputs(plan("hls"), silent, published, root)

    assert made.hls
    assert made.hls.renditions[0].bitrate == 700_000
    assert made.hls.renditions[0].codecs == "avc1.640168"


def test_dash_is_its_manifest(published: Published, root: Path) -> None:
    made = outputs(plan("dash"), SHOWN, published, root)

    assert made.dash
    assert made.dash.manifest.url == f"{URL}/dash/manifest.mpd"


def test_a_clean_rendition_is_told_apart_from_the_others(
    published: Published, root: Path
) -> None:
    (root / "mp4" / "clean.mp4").write_bytes(bytes(4000))
    clean = replace(SHOWN.video[0], name="clean")

    made = outputs(plan("mp4"), replace(SHOWN, clean=clean), published, root)

    assert made.clean
    assert (made.clean.name, made.clean.size) == ("clean", 4000)
    assert made.mp4
    assert [mp4.name for mp4 in made.mp4] == ["360", "240"]


def test_only_what_became_a_file_is_told_as_one(
    published: Published, root: Path
) -> None:
    top, low = SHOWN.video
    shown = replace(SHOWN, video=(top, replace(low, progressive=False)))

    made = outputs(plan("mp4"), shown, published, root)

    assert made.mp4
    assert [mp4.name for mp4 in made.mp4] == ["360"]


def test_each_mp4_has_its_own_size_and_address(
    published: Published, root: Path
) -> None:
    made = outputs(plan("mp4"), SHOWN, published, root)

    assert made.mp4
    told = [(mp4.name, mp4.width, mp4.height, mp4.size) for mp4 in made.mp4]
    assert told == [("360", 640, 360, 5000), ("240", 426, 240, 3000)]
    assert made.mp4[1].url == f"{URL}/mp4/240.mp4"


@pytest.mark.parametrize("asked", ["hls", "dash", "mp4"])
def test_what_nobody_asked_for_is_not_there(
    asked: Format, published: Published, root: Path
) -> None:
    made = outputs(plan(asked), SHOWN, published, root).model_dump()

    assert {name for name, value in made.items() if value is not None} == {asked}


def test_transport_streams_are_told_with_what_they_need(
    published: Published, root: Path
) -> None:
    for track in SHOWN.video:
        for path in hls_ts.segments_of(track):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(bytes(100_000))

    made = outputs(plan("hls_ts"), SHOWN, published, root).hls_ts

    assert made
    assert made.master.url == f"{URL}/ts/master.m3u8"
    assert [r.name for r in made.renditions] == ["360", "240"]
    longest = SHOWN.video[0].segments[0].duration / SHOWN.video[0].timescale
    assert made.renditions[0].bitrate == pytest.approx(8 * 100_000 / longest, abs=1)
    assert made.renditions[0].codecs.count(",") == 1
    assert made.renditions[1].playlist.url == f"{URL}/ts/240.m3u8"


def test_thumbnails_are_those_that_were_planned_and_made(published: Published) -> None:
    planned = plan("mp4")
    without = replace(published, paths=published.paths - {"thumb/small.jpg"})

    whole, partly = thumbnails(planned, published), thumbnails(planned, without)

    assert [still.name for still in whole] == [t.name for t in planned.thumbnails]
    assert {still.name for still in whole} - {s.name for s in partly} == {"small"}
    small = next(still for still in whole if still.name == "small")
    assert (small.width, small.height, small.format) == (320, 180, "jpeg")
    assert small.url == f"{URL}/thumb/small.jpg"


def test_there_is_a_poster_if_it_was_made(published: Published) -> None:
    found = poster(published, {"time": 1.5, "color": "#102030"})

    assert found
    assert found.url == f"{URL}/thumb/poster.jpg"
    assert (found.time, found.color) == (1.5, "#102030")
    assert poster(replace(published, paths=frozenset()), {}) is None


def test_sprites_are_their_track_and_its_sheets(published: Published) -> None:
    wanted = replace(
        plan("mp4"), sprites=Sprites(interval=2, count=27, width=160, height=90)
    )
    made = replace(published, paths=published.paths | {"sprite/thumbs.vtt"})

    found = sprites(wanted, made)

    assert found
    assert found.track.url == f"{URL}/sprite/thumbs.vtt"
    assert [sheet.url for sheet in found.sheets] == [
        f"{URL}/sprite/sprite_001.jpg",
        f"{URL}/sprite/sprite_002.jpg",
    ]
    assert sprites(wanted, published) is None
    assert sprites(plan("mp4"), made) is None
