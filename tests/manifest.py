"""What the shared media are, and how each must end; see the manifest's ``about``."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any


FOLDER = Path(__file__).resolve().parents[2] / "shared" / "media"


#: What is refused only where ffmpeg has no decoder of that name, and what it is.
NEWER: dict[str, tuple[str, dict[str, Any]]] = {
    "limit_vvc_unsupported.mp4": (
        "vvc",
        {
            "codec": "vvc",
            "width": 320,
            "height": 180,
            "display_width": 320,
            "display_height": 180,
            "rotation": 0,
            "video_seconds": 5.0,
            "fps": 24.0,
            "fps_counted": 24.0,
            "has_audio": False,
        },
    )
}


def decoders() -> set[str]:
    """Return the names of the decoders that the installed ffmpeg has."""
    if not shutil.which("ffmpeg"):
        return set()
    asked = ["ffmpeg", "-hide_banner", "-decoders"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    return {words[1] for words in map(str.split, told.splitlines()) if words[1:]}


def load() -> dict[str, Any]:
    manifest = FOLDER / "manifest.json"
    if not manifest.is_file():
        return {"files": [], "awkward_names": []}
    found: dict[str, Any] = json.loads(manifest.read_text())
    known = decoders()
    for entry in found["files"]:
        codec, facts = NEWER.get(entry["file"], (None, {}))
        if codec in known:
            entry["expected"] = facts
    return found


def refused(entry: dict[str, Any]) -> bool:
    return "must_be_refused" in entry["expected"]


MANIFEST = load()
ENTRIES = {entry["file"]: entry for entry in MANIFEST["files"]}
REFUSED = [name for name, entry in ENTRIES.items() if refused(entry)]
