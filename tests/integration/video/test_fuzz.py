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
from screening import Screen, Screening, leftovers, local


pytestmark = pytest.mark.media

#: Files of other sizes are damaged no differently, and take longer.
SIZES = range(1_000, 350_000)

#: Takes long by itself: it says that it lasts eleven hours.
LONG = "made_bomb_11h.mp4"

#: Of these few, one becomes a film, and three have no picture that can be decoded.
SEEDS = scaled((2, 6, 61, 127, 220), full=range(500))

#: The most memory that a program may take for it, in bytes.
MOST_MEMORY = 1_500_000_000


@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_file_becomes_a_film_that_plays_or_is_refused(
    seed: int, shared_media: Path, screen: Screen, tmp_path: Path
) -> None:
    sources = [
        path
        for path in sorted(shared_media.iterdir())
        if path.stat().st_size in SIZES and path.name not in {LONG, "manifest.json"}
    ]
    told = mutant(sources, seed, tmp_path / "damaged")

    shown = ended(screen, tmp_path / "damaged")

    if isinstance(shown, PermanentError):
        assert len(shown.message.splitlines()) == 1, told
        assert leftovers(tmp_path) == [], told
    else:
        for file in (master(shown), *shown.mp4s):
            assert complaints(file) == "", told
    unit = 1 if sys.platform == "darwin" else 1024
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    assert used < MOST_MEMORY, told


def ended(screen: Screen, file: Path) -> Screening | PermanentError:
    try:
        return screen(file, formats=["hls", "mp4"], ladder="single")
    except PermanentError as error:
        return error


def master(shown: Screening) -> Path:
    return local(shown.result["outputs"]["hls"]["master"]["uri"])


def complaints(file: Path) -> str:
    """Decode all of *file*; return what ffmpeg says against it."""
    command = ["ffmpeg", "-v", "error", "-xerror", "-i", str(file), "-f", "null", "-"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return done.stderr + (f"exit code {done.returncode}" if done.returncode else "")
