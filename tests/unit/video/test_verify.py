"""Whatever is damaged after it was made is found before it is published."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from nexus_actors.core.errors import PermanentError
from nexus_actors.video.base import Workbench, packagers
from nexus_actors.video.errors import OutputError, SourceError
from nexus_actors.video.models import Plan, Presentation
from nexus_actors.video.verify import check_lengths, verify


Encoded = Callable[[str], tuple[Plan, Path]]
Film = Callable[[str], tuple[Presentation, Workbench]]
Made = tuple[Plan, Presentation, Workbench]


@pytest.fixture(scope="module")
def original(
    encoded: Encoded, film: Film, tmp_path_factory: pytest.TempPathFactory
) -> Made:
    """A film of three segments in all formats."""
    plan, root = encoded("film")
    presentation, bench = film("film")
    bench = replace(bench, root=tmp_path_factory.mktemp("verify") / "out")
    shutil.copytree(root, bench.root)
    for name in plan.formats:
        packagers.get(name)().package(presentation, bench)
    (bench.root / "thumb").mkdir(exist_ok=True)
    (bench.root / "thumb" / "poster.jpg").write_bytes(b"a picture")
    return plan, presentation, bench


@pytest.fixture
def made(original: Made, tmp_path: Path) -> Made:
    """A copy that may be damaged."""
    plan, presentation, bench = original
    shutil.copytree(bench.root, tmp_path / "out")
    return plan, presentation, replace(bench, root=tmp_path / "out")


def test_what_is_whole_passes_without_a_warning_and_leaves_nothing(made: Made) -> None:
    before = sorted(made[2].root.parent.rglob("*"))

    assert verify(*made) == []

    assert sorted(made[2].root.parent.rglob("*")) == before


@pytest.mark.parametrize("name", ["silent", "short"])
def test_other_films_pass_too(name: str, encoded: Encoded, film: Film) -> None:
    plan, _ = encoded(name)
    presentation, bench = film(name)
    for packager in plan.formats:
        packagers.get(packager)().package(presentation, bench)

    assert verify(plan, presentation, bench) == []


GONE: Final = {
    "v/480/00002.m4s": "480/00002.m4s is missing or empty",
    "a/0/00003.m4s": "0/00003.m4s is missing or empty",
    "v/360/init.mp4": "360/init.mp4 is missing or empty",
    "hls/master.m3u8": "hls/master.m3u8 is missing or empty",
    "hls/v_360.m3u8": "hls/v_360.m3u8 is missing or empty",
    "hls/v_360_iframe.m3u8": "hls/v_360_iframe.m3u8 is missing or empty",
    "hls/a_0.m3u8": "hls/a_0.m3u8 is missing or empty",
    "dash/manifest.mpd": "dash/manifest.mpd is missing or empty",
    "mp4/240.mp4": "mp4/240.mp4 is missing or empty",
}


@pytest.mark.parametrize("path", GONE)
def test_a_file_that_is_missing_or_empty_is_named(path: str, made: Made) -> None:
    file = made[2].root / path
    file.unlink()

    with pytest.raises(OutputError, match=re.escape(GONE[path])):
        verify(*made)
    file.touch()
    with pytest.raises(OutputError, match=re.escape(GONE[path])):
        verify(*made)


@pytest.mark.parametrize("path", ["v/480/00002.m4s", "a/0/init.mp4"])
def test_the_dash_manifest_alone_tells_of_a_missing_file(path: str, made: Made) -> None:
    plan, presentation, bench = made
    (bench.root / path).unlink()

    with pytest.raises(OutputError, match="is missing or empty"):
        verify(replace(plan, formats=("dash",)), presentation, bench)


def test_a_still_that_is_empty_is_named(made: Made) -> None:
    (made[2].root / "thumb/poster.jpg").write_bytes(b"")

    with pytest.raises(OutputError, match=r"thumb/poster\.jpg is missing or empty"):
        verify(*made)


def test_transport_streams_are_looked_at_like_the_rest(
    encoded: Encoded, film: Film, tmp_path: Path
) -> None:
    plan, root = encoded("silent")
    presentation, bench = film("silent")
    [track] = presentation.video
    presentation = replace(presentation, video=(replace(track, progressive=False),))
    shutil.copytree(root / "v", tmp_path / "out" / "v")
    bench = replace(bench, root=tmp_path / "out", run=reporting(bench.run))
    packagers.get("hls_ts")().package(presentation, bench)
    plan = replace(plan, formats=("hls_ts",))
    assert verify(plan, presentation, bench) == []
    segment, playlist = bench.root / "ts/240/00002.ts", bench.root / "ts/240.m3u8"
    whole, text = segment.read_bytes(), playlist.read_text()

    for file, content, said in (
        (segment, b"", "240/00002.ts is missing or empty"),
        (segment, whole[: len(whole) // 2 - 50] + bytes(5000), "does not decode"),
        (playlist, text.replace("#EXTINF:4.0", "#EXTINF:9.0").encode(), "of 9.000 s"),
        (playlist, text.replace("#EXT-X-ENDLIST", "").encode(), "lists"),
    ):
        before = file.read_bytes()
        file.write_bytes(content)
        with pytest.raises(OutputError, match=said):
            verify(plan, presentation, bench)
        file.write_bytes(before)


def test_a_format_that_nobody_asked_for_is_not_missed(made: Made) -> None:
    plan, presentation, bench = made
    for folder in ("hls", "mp4"):
        shutil.rmtree(bench.root / folder)

    video = tuple(replace(track, progressive=False) for track in presentation.video)
    shown = replace(presentation, video=video)
    assert verify(replace(plan, formats=("dash",)), shown, bench) == []


def test_a_clean_rendition_that_was_not_made_is_named(made: Made) -> None:
    plan, presentation, bench = made
    clean = replace(presentation.video[0], name="clean")

    with pytest.raises(OutputError, match=r"mp4/clean\.mp4 is missing or empty"):
        verify(plan, replace(presentation, clean=clean), bench)


#: A file, what is replaced in it by what, and the complaint.
SPOILT: Final[dict[str, tuple[str, str, str, str]]] = {
    "a playlist of something else": (
        *("hls/v_480.m3u8", "#EXTM3U", "<html>"),
        "v_480.m3u8 is damaged",
    ),
    "a playlist without its end": (
        *("hls/a_0.m3u8", "#EXT-X-ENDLIST\n", ""),
        "a_0.m3u8 lists 9.60 of 9.60 s",
    ),
    "a playlist without a segment": (
        *("hls/v_360.m3u8", "#EXTINF:4.000000,\n../v/360/00002.m4s\n", ""),
        "v_360.m3u8 lists 5.60 of 9.60 s",
    ),
    "a playlist with a wrong duration": (
        *("hls/v_240.m3u8", "#EXTINF:1.600000", "#EXTINF:0.600000"),
        "v_240.m3u8 lists 8.60 of 9.60 s",
    ),
    "a segment longer than the target": (
        *("hls/v_240.m3u8", "#EXTINF:1.600000", "#EXTINF:5.600000"),
        "v_240.m3u8 has a segment of 5.600 s",
    ),
    "a segment of another track": (
        *("hls/v_240.m3u8", "../v/240/init.mp4", "../mp4/240.mp4"),
        "which belongs to no track",
    ),
    "a master that names nothing": (
        *("hls/master.m3u8", "\n", "\n#"),
        "master.m3u8 is damaged",
    ),
    "a manifest that is cut short": (
        *("dash/manifest.mpd", "</MPD>", ""),
        "manifest.mpd is damaged: no element found",
    ),
    "a manifest without a track": (
        *("dash/manifest.mpd", "SegmentTemplate", "Nothing"),
        "manifest.mpd has 0 of 4 tracks",
    ),
    "a manifest with a segment too few": (
        *("dash/manifest.mpd", ' r="1"', ""),
        "manifest.mpd lists 2 of 3 segments of v/480",
    ),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_manifest_that_is_damaged_is_named(kind: str, made: Made) -> None:
    path, old, new, complaint = SPOILT[kind]
    file = made[2].root / path
    text = file.read_text("utf-8").replace('URI="', 'X="' if old == "\n" else 'URI="')
    assert old in text
    file.write_text(text.replace(old, new), "utf-8")

    with pytest.raises(OutputError, match=re.escape(complaint)):
        verify(*made)


def test_a_playlist_that_is_no_text_is_damaged(made: Made) -> None:
    (made[2].root / "hls/v_480.m3u8").write_bytes(bytes(range(128, 256)) * 9)

    with pytest.raises(OutputError, match=r"v_480\.m3u8 is damaged"):
        verify(*made)


@pytest.mark.parametrize("cut", [1, 1000, 100_000])
def test_an_mp4_that_is_cut_short_is_named(cut: int, made: Made) -> None:
    file = made[2].root / "mp4/480.mp4"
    file.write_bytes(file.read_bytes()[:-cut])

    with pytest.raises(OutputError, match=r"480\.mp4: a box of \d+ bytes does not fit"):
        verify(*made)


def test_an_mp4_with_a_part_of_the_film_is_named(made: Made) -> None:
    plan, presentation, bench = made
    mp4, part = bench.root / "mp4/480.mp4", bench.root.parent / "part.mp4"
    copy = ["-t", "5", "-c", "copy", "-movflags", "+faststart", str(part)]
    bench.run([str(bench.tools.ffmpeg), "-v", "error", "-i", str(mp4), *copy])
    part.replace(mp4)

    with pytest.raises(OutputError, match=r"480\.mp4 lasts 5\.\d+ of 9\.60 s"):
        verify(plan, presentation, bench)


def test_a_segment_that_does_not_decode_is_named(made: Made) -> None:
    plan, presentation, bench = made
    file = bench.root / "v/240/00003.m4s"
    whole = file.read_bytes()
    at = whole.index(b"mdat") + 4
    file.write_bytes(whole[:at] + bytes(b ^ 0xFF for b in whole[at:]))

    with pytest.raises(OutputError, match=r"v/240/00003\.m4s does not decode"):
        verify(plan, presentation, replace(bench, run=reporting(bench.run)))

    assert not (bench.root.parent / "verify.mp4").exists()


def reporting(run: Callable[[list[str]], str]) -> Callable[[list[str]], str]:
    """Raise what the job's runner raises where the tests' own fails an assertion."""

    def run_or_refuse(command: list[str]) -> str:
        try:
            return run(command)
        except AssertionError as error:
            raise SourceError("the video is damaged", said=str(error)) from error

    return run_or_refuse


# Lengths: no file is looked at


def lengths(film: Film, encoded: Encoded, **plan: Any) -> list[str]:
    presentation, _ = film("film")
    return check_lengths(replace(encoded("film")[0], **plan), presentation)


def test_the_planned_length_passes(film: Film, encoded: Encoded) -> None:
    assert lengths(film, encoded) == []
    assert lengths(film, encoded, duration=9.65) == []


def test_a_little_less_than_the_header_said_is_a_warning(
    film: Film, encoded: Encoded
) -> None:
    assert lengths(film, encoded, duration=10.0) == ["shorter_than_header"]


def test_much_less_than_the_header_said_is_the_sources_fault(
    film: Film, encoded: Encoded
) -> None:
    with pytest.raises(SourceError, match=r"says 12\.00 s, but only 9\.60 s") as caught:
        lengths(film, encoded, duration=12.0)

    assert caught.value.code == "truncated"
    assert isinstance(caught.value, PermanentError)


@pytest.mark.parametrize("kind", ["video", "audio"])
def test_a_track_that_is_longer_than_planned_is_named(
    kind: str, film: Film, encoded: Encoded
) -> None:
    plan, _ = encoded("film")
    presentation, _ = film("film")
    tracks = getattr(presentation, kind)
    last = tracks[-1].segments[-1]
    longer = replace(last, duration=last.duration + tracks[-1].timescale)
    track = replace(tracks[-1], segments=(*tracks[-1].segments[:-1], longer))
    changed: dict[str, Any] = {kind: (*tracks[:-1], track)}
    spoilt = replace(presentation, **changed)

    with pytest.raises(
        OutputError, match=rf"{track.folder} lasts 10\.60 s; planned were 9\.60 s"
    ):
        check_lengths(plan, spoilt)
