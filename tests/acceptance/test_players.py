"""The players that the web uses play what the pipeline makes, frame by frame."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Page

from browsers import Serve, lacks
from nexus_actors.core.settings import CoreSettings
from nexus_actors.engine.jobs import Job
from nexus_actors.video.flows import run
from nexus_actors.video.models import ProcessVideoRequest, ProcessVideoResult
from nexus_actors.video.settings import VideoSettings
from nexus_actors.video.tools import Tools
from scale import full


pytestmark = pytest.mark.browser

FOLDER: Final = Path(__file__).parents[1] / "players"

#: What each player is loaded from.
SCRIPTS: Final = {
    "hls.js": "hls.js/dist/hls.min.js",
    "dashjs": "dashjs/dist/modern/umd/dash.all.min.js",
    "shaka": "shaka-player/dist/shaka-player.compiled.js",
}

#: The players, and what each plays; Shaka plays both.
PLAYERS: Final = (
    ("hls.js", "hls"),
    ("dashjs", "dash"),
    ("shaka", "hls"),
    ("shaka", "dash"),
)

#: The words that a film of nine seconds is captioned with.
CAPTIONS: Final = {"en": "Hello there", "de": "Grüß Gott & mehr"}

#: How long one film may take to load and play, in seconds.
PATIENCE_S: Final = 60


@dataclass(frozen=True, slots=True)
class Film:
    """What the pipeline made of a source, and what the source holds."""

    result: ProcessVideoResult
    frames: int
    fps: Fraction
    has_sound: bool

    def url(self, kind: str) -> str:
        made = self.result.outputs
        assert made.hls
        assert made.hls_ts
        assert made.dash
        urls = {
            "hls": made.hls.master.url,
            "hls_ts": made.hls_ts.master.url,
            "dash": made.dash.manifest.url,
        }
        return urls[kind]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is served: a page, and what the pipeline publishes."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(FOLDER / "play.html", folder)
    return folder


@pytest.fixture(scope="module")
def film(
    site: Path,
    film_source: Callable[[str], Path],
    tools: Tools,
    run_tool: Callable[[list[str]], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Film]:
    """Take the source called so through the whole pipeline, once."""
    made: dict[str, Film] = {}
    work = tmp_path_factory.mktemp("work")

    def measure(source: Path) -> tuple[int, Fraction, bool]:
        command = [str(tools.ffprobe), "-v", "error", "-of", "json", "-show_streams"]
        printed = run_tool([*command, "-count_packets", str(source)])
        picture, *sound = json.loads(printed)["streams"]
        frames, fps = picture["nb_read_packets"], picture["r_frame_rate"]
        return int(frames), Fraction(fps), bool(sound)

    def make(name: str) -> Film:
        if name not in made:
            source = film_source("silent" if name == "upright" else name)
            if name == "upright":
                source = turned(source, work / "upright.mp4")
            captions = captioned(work) if name == "ntsc" else []
            result = processed(name, source, site / "media", work / name, captions)
            made[name] = Film(result, *measure(source))
        return made[name]

    return make


def turned(film: Path, target: Path) -> Path:
    """Write *film* as a phone held upright does: lying, with a note to turn it."""
    content = bytearray(film.read_bytes())
    header = content.index(b"tkhd") + 4
    assert content[header] == 0, "the place of the matrix is that of version 0"
    quarter = (0, 1 << 16, 0, -1 << 16, 0, 0, 240 << 16, 0, 1 << 30)
    struct.pack_into(">9i", content, header + 40, *quarter)
    target.write_bytes(content)
    return target


def captioned(folder: Path) -> list[dict[str, str]]:
    """Write files of captions; return what a message says of them."""
    told = []
    for language, words in CAPTIONS.items():
        file = folder / f"{language}.srt"
        file.write_text(f"1\n00:00:00,400 --> 00:00:08,600\n{words}\n", "utf-8")
        told.append({"input_path": str(file), "language": language})
    return told


def processed(
    name: str, source: Path, store: Path, work: Path, captions: list[dict[str, str]]
) -> ProcessVideoResult:
    made: dict[str, Any] = {"formats": ["hls", "dash", "hls_ts"], "thumbnails": False}
    body = {
        "video_id": name,
        "input_path": str(source),
        "options": made | {"captions": captions},
    }
    storage = {"storage_url": str(store), "storage_public_url": "media"}
    result = run(
        ProcessVideoRequest.parse(body, what="process_video"),
        settings=VideoSettings.load({"ffmpeg_preset": "ultrafast"}),
        core=CoreSettings.load(storage),
        work=work,
        job=Job(id=name),
    )
    assert isinstance(result, ProcessVideoResult)
    return result


@pytest.fixture(scope="module")
def address(serve: Serve, site: Path) -> str:
    return serve(site)


def load(page: Page, player: str, address: str) -> None:
    """Open the page with *player* in it."""
    script = FOLDER / "node_modules" / SCRIPTS[player]
    if not script.is_file():
        lacks(f"{player} is not installed; run: .ci/bootstrap test")
    page.goto(address + "play.html")
    page.add_script_tag(path=script)


@pytest.fixture
def play(page: Page, address: str) -> Callable[[str, str, int], Any]:
    """Play the rendition of that height; return the state at the end."""

    def run(player: str, url: str, height: int) -> Any:
        load(page, player, address)
        arguments = [player, url, height, PATIENCE_S]
        return page.evaluate("(arguments) => play(...arguments)", arguments)

    return run


FILMS: Final[dict[str, tuple[str, tuple[int, int]]]] = {
    "largest": ("tongues", (854, 480)),
    "smallest": ("tongues", (428, 240)),
    "silent": ("silent", (320, 240)),
    "29.97 fps": ("ntsc", (320, 240)),
    "one segment": ("short", (320, 240)),
    "upright": ("upright", (240, 320)),
}

#: What Shaka plays, and what hls.js of transport streams, at the small scale, too.
FEW = {("shaka", "hls", "largest"), ("hls.js", "hls_ts", "29.97 fps")}


@pytest.mark.parametrize(
    ("player", "kind", "name", "size"),
    [
        pytest.param(
            *(player, kind, *FILMS[film]),
            id=f"{player}-{kind}-{film}",
            marks=[full] * (n > 1 and (player, kind, film) not in FEW),
        )
        for n, (player, kind) in enumerate((*PLAYERS, ("hls.js", "hls_ts")))
        for film in FILMS
    ],
)
def test_every_frame_is_played_to_the_end_and_nothing_goes_wrong(
    film: Callable[[str], Film],
    play: Callable[[str, str, int], Any],
    player: str,
    kind: str,
    name: str,
    size: tuple[int, int],
) -> None:
    shown = film(name)

    state = play(player, shown.url(kind), size[1])

    assert state["errors"] == []
    assert state["ended"], state
    assert state["frames"] == shown.frames
    assert (state["width"], state["height"]) == size
    assert state["sound"] is shown.has_sound
    seconds = float(shown.frames / shown.fps)
    # a transport stream cannot say that its last frame of sound is played in part
    allowed = 0.05 if kind == "hls_ts" else 0.01
    assert state["duration"] == pytest.approx(seconds, abs=allowed)
    [buffered] = state["buffered"]
    assert buffered == pytest.approx([0, seconds], abs=allowed)
    assert state["source"].startswith("blob:"), "the browser has played it by itself"


@pytest.fixture
def switch(page: Page, address: str) -> Callable[[str, str, Any], Any]:
    """Play and take choices of height and language at their times."""

    def run(player: str, url: str, choices: Any) -> Any:
        load(page, player, address)
        arguments = [player, url, choices, PATIENCE_S]
        return page.evaluate("(arguments) => playSwitching(...arguments)", arguments)

    return run


@pytest.mark.parametrize(
    ("player", "kind"),
    [*PLAYERS[:2], pytest.param(*PLAYERS[2], marks=full), PLAYERS[3]],
)
def test_a_viewer_changes_quality_and_language_both_ways(
    film: Callable[[str], Film],
    switch: Callable[[str, str, Any], Any],
    player: str,
    kind: str,
) -> None:
    shown = film("tongues")
    choices = [[2, 480, "de"], [5, 240, "en"]]

    state = switch(player, shown.url(kind), choices)

    assert state["errors"] == []
    assert state["ended"], state
    assert state["languages"] == [["English", "en"], ["Deutsch", "de"]]
    heights, tones = zip(*state["shown"], strict=True)
    assert heights == (240, 480, 240)
    assert tones == pytest.approx((440, 2000, 440), abs=30)
    # what a player throws away before a choice may be missing, but nothing after it
    [buffered] = state["buffered"]
    assert buffered[1] == pytest.approx(9.6, abs=0.01)


@pytest.mark.parametrize(
    ("player", "kind"),
    [
        *PLAYERS[:2],
        *(pytest.param(*pair, marks=full) for pair in PLAYERS[2:]),
        pytest.param("hls.js", "hls_ts", marks=full),
    ],
)
def test_a_viewer_jumps_forwards_and_back(
    film: Callable[[str], Film], page: Page, address: str, player: str, kind: str
) -> None:
    shown, places = film("ntsc"), [7.0, 1.0, 5.5]
    load(page, player, address)

    arguments = [player, shown.url(kind), 240, places, PATIENCE_S]
    state = page.evaluate("(arguments) => playSeeking(...arguments)", arguments)

    assert state["errors"] == []
    assert state["ended"], state
    assert state["landed"] == pytest.approx(places, abs=0.05)


@pytest.mark.parametrize(("player", "kind"), PLAYERS)
def test_captions_are_offered_in_their_languages_and_shown_at_their_time(
    film: Callable[[str], Film], page: Page, address: str, player: str, kind: str
) -> None:
    shown = film("ntsc")
    load(page, player, address)

    arguments = [player, shown.url(kind), "de", PATIENCE_S]
    state = page.evaluate("(arguments) => playCaptioned(...arguments)", arguments)

    assert state["errors"] == []
    assert sorted(state["offered"]) == [["de", "Deutsch"], ["en", "English"]]
    [[words, start, end]] = state["seen"]
    assert words == CAPTIONS["de"]
    assert (start, end) == pytest.approx((0.4, 8.6), abs=0.001)
    assert start <= state["time"] < end
