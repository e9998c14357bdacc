"""How much of a film is in memory while it is uploaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, make_clip
from nexus_actors.testing.sandbox import SandboxClient
from scale import scaled


ROUTES = [
    "youtube_video",
    "tiktok_video",
    "instagram_reel",
    "facebook_video",
    "facebook_reel",
]

#: What a process may hold beside what it held before, whatever the film's size.
MOST = 6 * 2**20

#: Publishes by each route; prints by how much its memory had grown at the most.
CHILD = """
import json, sys, tracemalloc
import publishing

publishing.publish("facebook_link")  # brings what is imported late
peaks = {}
tracemalloc.start()
for route in sys.argv[1:]:
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    done = publishing.publish(route)
    assert done.get("state") == "published", done
    peaks[route] = tracemalloc.get_traced_memory()[1] - before
print(json.dumps(peaks))
"""


@pytest.mark.usefixtures("quick_place")
@pytest.mark.timeout(scaled(120, full=1200))
def test_of_a_film_no_more_than_a_block_is_in_memory_while_it_is_sent(
    nexus_sandbox: SandboxClient, tmp_path: Path
) -> None:
    # all of it is one chunk wherever the size of that is not for us to choose
    nexus_sandbox.settings(facebook={"chunk_bytes": 10**9, "processing_s": 0})
    small = make_clip(tmp_path / "small.mp4", size="540x960", seconds=3)
    large = tmp_path / "large.mp4"
    command = ["ffmpeg", "-v", "error", "-i", str(small), "-c", "copy"]
    subprocess.run([*command, "-movflags", "+faststart", str(large)], check=True)
    size, film = scaled(12 * 2**20, full=290 * 10**6), large.stat().st_size
    with large.open("ab") as file:
        file.write((size - film).to_bytes(4) + b"free")
        file.truncate(size)
    settings = {
        "FILE_CLIP": str(large),
        "FILE_TALL": str(large),
        # few enough for TikTok, which is asked after each
        "NEXUS_SOCIAL_CHUNK_BYTES": str(scaled(8, full=48) * 2**20),
        "PYTHONPATH": str(ROOT / "tests"),
    }

    ran = subprocess.run(
        [sys.executable, "-c", CHILD, *ROUTES],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        check=True,
    )

    peaks = json.loads(ran.stdout)
    assert {route: peak for route, peak in peaks.items() if peak > MOST} == {}
    assert len(peaks) == len(ROUTES)
