"""Small films that ffmpeg makes, taken through the real guard, plan and encode."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree

from nexus_actors.video.base import Workbench
from nexus_actors.video.commands import encode_command, encode_folders
from nexus_actors.video.guard import admit
from nexus_actors.video.index import index_tracks, place_tracks
from nexus_actors.video.models import Plan, Presentation, ProcessVideoOptions
from nexus_actors.video.plan import make_plan
from nexus_actors.video.probe import probe
from nexus_actors.video.settings import VideoSettings
from nexus_actors.video.tools import Tools, find_tools


#: Sources that ffmpeg makes, by name: picture, seconds, and whether there is sound.
FILMS = {
    # rungs of 480, 360 and 240 lines; 240 frames in three segments, the last one short
    "film": ("testsrc2=size=854x480:rate=25", 9.6, True),
    # the same with a second language, a tone of its own
    "tongues": ("testsrc2=size=854x480:rate=25", 9.6, True),
    "silent": ("testsrc2=size=320x240:rate=25", 5.0, False),
    "ntsc": ("testsrc2=size=320x240:rate=30000/1001", 9.0, True),
    "short": ("testsrc2=size=320x240:rate=25", 2.0, True),
}


@pytest.fixture(scope="session")
def tools() -> Tools:
    return find_tools(VideoSettings.load())


@pytest.fixture(scope="session")
def mpd_schema(shared_contracts: Path) -> etree.XMLSchema:
    """What DASH manifests are held against."""
    folder = shared_contracts / "dash"
    # the schema imports another one from the network: take the file beside it
    beside = (folder / "xlink.xsd").as_uri()
    text = (folder / "DASH-MPD.xsd").read_text(encoding="utf-8")
    text = text.replace("http://www.w3.org/XML/2008/06/xlink.xsd", beside)
    return etree.XMLSchema(etree.fromstring(text.encode()))


@pytest.fixture(scope="session")
def run_tool() -> Callable[[list[str]], str]:
    """Run a program; return what it prints."""

    def run(command: list[str]) -> str:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return run


@pytest.fixture(scope="session")
def film_source(
    tools: Tools,
    run_tool: Callable[[list[str]], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Path]:
    """Return the source of the film called so; see `FILMS`."""
    folder = tmp_path_factory.mktemp("clips")

    def make(name: str) -> Path:
        target = folder / f"{name}.mp4"
        if not target.exists():
            picture, seconds, sound = FILMS[name]
            inputs = ["-f", "lavfi", "-i", picture]
            if sound:
                inputs += ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
            if name == "tongues":
                inputs += ["-f", "lavfi", "-i", "sine=frequency=2000:sample_rate=48000"]
                inputs += ["-map", "0", "-map", "1", "-map", "2"]
                inputs += ["-metadata:s:a:1", "language=deu"]
            codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
            length = ["-t", str(seconds), "-metadata:s:a:0", "language=eng"]
            run_tool([str(tools.ffmpeg), *inputs, *codecs, *length, str(target)])
        return target

    return make


@pytest.fixture(scope="session")
def encoded(
    tools: Tools,
    run_tool: Callable[[list[str]], str],
    film_source: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], tuple[Plan, Path]]:
    """Return the plan of the film called so, and the folder that its tracks lie in."""
    made: dict[str, tuple[Plan, Path]] = {}
    settings = VideoSettings.load({"ffmpeg_preset": "ultrafast"})

    def encode(name: str) -> tuple[Plan, Path]:
        if name in made:
            return made[name]
        folder = tmp_path_factory.mktemp(name)
        source = admit(str(film_source(name)), folder, settings)
        media = probe(source, tools, settings)
        options = ProcessVideoOptions()
        plan = make_plan(media, options, settings, tools=tools)
        for number in encode_folders(plan):
            (folder / "encoded" / number).mkdir(parents=True)
        run_tool(encode_command(plan, source.path, folder / "encoded", tools))
        place_tracks(plan, folder / "encoded", folder / "out")
        made[name] = plan, folder / "out"
        return made[name]

    return encode


@pytest.fixture(scope="session")
def film(
    tools: Tools,
    run_tool: Callable[[list[str]], str],
    encoded: Callable[[str], tuple[Plan, Path]],
) -> Callable[[str], tuple[Presentation, Workbench]]:
    """Return the measured tracks of the film called so, and a bench to package them."""

    def measure(name: str) -> tuple[Presentation, Workbench]:
        plan, root = encoded(name)
        return index_tracks(plan, root), Workbench(root, tools, run_tool)

    return measure
