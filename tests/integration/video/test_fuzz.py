"""Whatever has happened to a file, it becomes a film that plays or is refused."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from mutants import mutant
from nexus_actors.core.errors import PermanentError
from scale import scaled
from screening import Screen, leftovers


pytestmark = pytest.mark.media

#: Files of other sizes are damaged no differently, and take longer.
SIZES = range(1_000, 350_000)

#: Takes long by itself: it says that it lasts eleven hours.
LONG = "made_bomb_11h.mp4"

#: The most memory that a program may take for it, in bytes.
MOST_MEMORY = 1_500_000_000


@pytest.mark.parametrize("seed", range(scaled(7, full=500)))
def test_a_damaged_file_becomes_a_film_that_plays_or_is_refused(
    seed: int, shared_media: Path, screen: Screen, tmp_path: Path
) -> None:
    sources = [
        path
        for path in sorted(shared_media.iterdir())
        if path.stat().st_size in SIZES and path.name not in {LONG, "manifest.json"}
    ]
    told = mutant(sources, seed, tmp_path / "damaged")

    try:
        shown = screen(tmp_path / "damaged", formats=["hls", "mp4"], ladder="single")
    except PermanentError as error:
        assert len(error.message.splitlines()) == 1, told
        assert leftovers(tmp_path) == [], told
    else:
        master = Path(shown.result["outputs"]["hls"]["master"]["uri"][len("file://") :])
        for file in (master, *shown.mp4s):
            assert complaints(file) == "", told
    unit = 1 if sys.platform == "darwin" else 1024
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    assert used < MOST_MEMORY, told


def complaints(file: Path) -> str:
    """Decode all of *file*; return what ffmpeg says against it."""
    command = ["ffmpeg", "-v", "error", "-xerror", "-i", str(file), "-f", "null", "-"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return done.stderr + (f"exit code {done.returncode}" if done.returncode else "")
