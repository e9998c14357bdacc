"""What the shared media are, and how each must end; see the manifest's ``about``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


FOLDER = Path(__file__).resolve().parents[2] / "shared" / "media"


def load() -> dict[str, Any]:
    manifest = FOLDER / "manifest.json"
    if not manifest.is_file():
        return {"files": [], "awkward_names": []}
    found: dict[str, Any] = json.loads(manifest.read_text())
    return found


def refused(entry: dict[str, Any]) -> bool:
    return "must_be_refused" in entry["expected"]


MANIFEST = load()
ENTRIES = {entry["file"]: entry for entry in MANIFEST["files"]}
REFUSED = [name for name, entry in ENTRIES.items() if refused(entry)]
