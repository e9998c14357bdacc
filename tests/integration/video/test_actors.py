"""Each actor of the domain on real films: what it makes, and what it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from conftest import make_clip
from manifest import ENTRIES, REFUSED
from nexus_actors import PermanentError
from nexus_actors.app import actors_of
from nexus_actors.core.errors import ConfigurationError
from nexus_actors.video import SourceError
from screening import leftovers, local, run, streams


ACTORS: dict[str, Any] = {
    actor.actor_name.partition(".")[2]: actor for actor in actors_of(["video"])
}

#: What ffmpeg makes of a test picture that no browser could be asked to play better.
SAFE = ("-c:v", "libx264", "-b:v", "300k", "-pix_fmt", "yuv420p", "-g", "25")

Act = Callable[..., dict[str, Any]]


@pytest.fixture
def act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Act:
    """Run an actor here, with stores of the test's own."""
    monkeypatch.setenv("STORAGE_URL", str(tmp_path / "storage"))
    monkeypatch.setenv("TEMP_DIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("FFMPEG_PRESET", "ultrafast")

    def call(name: str, source: Path, **more: Any) -> dict[str, Any]:
        result: dict[str, Any] = ACTORS[name](
            video_id="v1", input_path=str(source), **more
        )
        return result

    return call


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of 320 x 240, as a phone would send it: the index comes last."""
    path = tmp_path_factory.mktemp("small") / "small.mp4"
    return make_clip(path, size="320x240", rate="25", seconds=2)


def film(target: Path, *, codec: tuple[str, ...] = SAFE, sound: str = "aac") -> Path:
    """Write one second of a test picture with a tone."""
    inputs = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-f", "lavfi"]
    inputs += ["-i", "sine=sample_rate=48000", *codec, "-c:a", sound, "-t", "1"]
    # a phone writes down where it was
    inputs += ["-metadata", "location=+52.5200+013.4050/", str(target)]
    run(["ffmpeg", "-v", "error", *inputs])
    return target


def samples(file: Path, kind: str) -> bytes:
    """Return the hash of what a stream holds, as it is coded."""
    options = ["-map", f"0:{kind}:0", "-c", "copy", "-bsf:v", "h264_mp4toannexb"]
    plain = options if kind == "v" else options[:4]
    return run(["ffmpeg", "-v", "error", "-i", str(file), *plain, "-f", "md5", "-"])


def stored(tmp_path: Path) -> set[str]:
    return {p.name for p in (tmp_path / "storage").rglob("*") if p.is_file()}


def test_metadata_are_read_and_nothing_is_stored(
    act: Act, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # it needs no store, so that one which cannot be reached does not matter
    monkeypatch.setenv("STORAGE_URL", "/proc/no/such")

    result = act("extract_metadata", small)

    assert result["metadata"]["video"]["width"] == 320
    assert result["timings"].keys() == {"fetch", "guard", "probe"}
    assert leftovers(tmp_path) == []


def test_films_are_made_without_stills(act: Act, small: Path, tmp_path: Path) -> None:
    options = {"formats": ["mp4"], "ladder": "single"}

    result = act("transcode_video", small, options=options, output_prefix="a/b")

    [made] = result["outputs"]["mp4"]
    assert (made["width"], made["height"], made["name"]) == (320, 240, "240")
    assert "/a/b/" in made["uri"]
    assert result["duration"] == pytest.approx(2)
    assert stored(tmp_path) == {"240.mp4", "metadata.json"}


def test_stills_are_made_without_a_film(act: Act, small: Path, tmp_path: Path) -> None:
    result = act("generate_thumbnails", small)

    assert stored(tmp_path) == {"poster.jpg", "small.jpg", "metadata.json"}
    [thumbnail] = result["thumbnails"]
    shown = streams(local(thumbnail["uri"]), "v")[0]
    assert (shown["width"], shown["height"]) == (320, 240)
    assert "encode" not in result["timings"]


def test_a_mark_that_nobody_has_set_is_refused(act: Act, small: Path) -> None:
    with pytest.raises(ConfigurationError, match="WATERMARK_PATH"):
        act("add_watermark", small)


def test_a_film_that_browsers_play_is_copied_and_its_index_put_in_front(
    act: Act, tmp_path: Path
) -> None:
    source = film(tmp_path / "phone.mp4")

    result = act("optimize_video", source)

    assert (result["method"], result["reasons"]) == ("copy", [])
    assert not result["metadata"]["faststart"]
    made = local(result["output"]["uri"])
    content = made.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    assert b"loci" in source.read_bytes()
    assert b"loci" not in content
    assert samples(made, "v") == samples(source, "v")
    assert samples(made, "a") == samples(source, "a")
    assert result["output"]["size"] == len(content)
    assert "encode" not in result["timings"]


def test_of_a_film_whose_sound_alone_is_odd_the_picture_is_copied(
    act: Act, tmp_path: Path
) -> None:
    source = film(tmp_path / "odd.mkv", sound="libmp3lame")

    result = act("optimize_video", source)

    assert (result["method"], result["reasons"]) == ("copy_video", ["audio_codec"])
    made = local(result["output"]["uri"])
    assert samples(made, "v") == samples(source, "v")
    [sound] = streams(made, "a")
    assert (sound["codec_name"], sound["profile"]) == ("aac", "LC")
    assert float(sound["duration"]) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("fault", ["pixel_format", "damaged"])
def test_a_film_that_browsers_may_not_play_is_encoded(
    act: Act, tmp_path: Path, fault: str
) -> None:
    plain = ("-pix_fmt", "yuv444p" if fault == "pixel_format" else "yuv420p")
    source = film(tmp_path / "film.mp4", codec=(*SAFE[:4], *plain, "-g", "5"))
    if fault == "damaged":  # in the middle of it, where no header tells of it
        content = bytearray(source.read_bytes())
        middle = content.index(b"mdat") + 40_000
        content[middle : middle + 3000] = bytes(3000)
        source.write_bytes(content)

    result = act("optimize_video", source)

    assert result["method"] == "encode"
    assert fault in result["reasons"]
    picture = streams(local(result["output"]["uri"]), "v")[0]
    assert picture["pix_fmt"] == "yuv420p"
    assert picture["nb_read_frames"] == "25"


@pytest.mark.media
@pytest.mark.parametrize(
    ("name", "actor"),
    [(n, list(ACTORS)[at % len(ACTORS)]) for at, n in enumerate(REFUSED)],
)
def test_what_is_refused_is_refused_by_every_actor_and_leaves_nothing(
    shared_media: Path, act: Act, tmp_path: Path, name: str, actor: str
) -> None:
    with pytest.raises(PermanentError) as error:
        act(actor, shared_media / name)

    assert error.value.code == ENTRIES[name]["expected"]["must_be_refused"]
    assert len(error.value.message.splitlines()) == 1
    assert leftovers(tmp_path) == []


def test_a_result_is_plain_json(act: Act, small: Path) -> None:
    result = act("generate_thumbnails", small)

    assert json.loads(json.dumps(result)) == result


def test_captions_of_the_message_and_of_the_source_stand_in_hls_and_dash(
    act: Act, small: Path, tmp_path: Path, mpd_schema: etree.XMLSchema
) -> None:
    said = "1\n00:00:00,500 --> 00:00:01,500\n{}\n"
    (tmp_path / "own.srt").write_text(said.format("own words"))
    (tmp_path / "file.srt").write_bytes(said.format("Schöne Wörter").encode("cp1252"))
    source = tmp_path / "film.mp4"
    inputs = ["-i", str(small), "-i", str(tmp_path / "own.srt"), "-c", "copy"]
    tags = ["-c:s", "mov_text", "-metadata:s:s:0", "language=eng"]
    run(["ffmpeg", "-v", "error", *inputs, *tags, str(source)])
    file = {"input_path": str(tmp_path / "file.srt"), "language": "de"}

    result = act("transcode_video", source, options={"captions": [file]})

    german, english = result["outputs"]["captions"]
    assert (german["language"], german["label"]) == ("de", "Deutsch")
    assert (english["language"], english["label"]) == ("en", "English")
    cue = "00:00:00.500 --> 00:00:01.500\n"
    assert f"{cue}Schöne Wörter\n" in local(german["uri"]).read_text("utf-8")
    assert f"{cue}own words\n" in local(english["uri"]).read_text("utf-8")
    master = local(result["outputs"]["hls"]["master"]["uri"])
    text = master.read_text("utf-8")
    assert text.count("TYPE=SUBTITLES") == 2
    assert text.count('SUBTITLES="subs"') == text.count("#EXT-X-STREAM-INF")
    playlist = (master.parent / "s_0.m3u8").read_text()
    assert "#EXTINF:2.000000,\n../captions/0.vtt\n" in playlist
    assert (master.parent / "../captions/0.vtt").is_file()
    manifest = local(result["outputs"]["dash"]["manifest"]["uri"]).read_text("utf-8")
    mpd_schema.assertValid(etree.fromstring(manifest.encode()))
    assert manifest.count('mimeType="text/vtt"') == 2
    assert "<BaseURL>../captions/1.vtt</BaseURL>" in manifest


def test_captions_that_are_none_are_refused(act: Act, small: Path) -> None:
    options = {"captions": [{"input_path": str(small), "language": "de"}]}

    with pytest.raises(SourceError, match="SubRip or WebVTT") as refused:
        act("transcode_video", small, options=options)

    assert refused.value.code == "not_media"
