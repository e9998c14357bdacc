"""The reference says what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import get_args

import pytest

from conftest import ROOT
from nexus_actors.analytics.reporting import ANOMALY, REPORT
from nexus_actors.engine.jobs import JobRecord, State
from nexus_actors.platforms.limits import LIMITS
from nexus_actors.platforms.vault import ACCOUNT_LOST
from nexus_actors.social.row import EVENTS, LOCATED
from nexus_actors.video.told import FAILED, PROCESSED


DOCS = ROOT / "docs"
PACKAGE = ROOT / "src" / "nexus_actors"


def names_in_tables(page: str) -> set[str]:
    """Return the names in the first column of a page's tables."""
    text = (DOCS / "reference" / page).read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_the_generated_pages_are_what_the_code_says_now(tmp_path: Path) -> None:
    folder = tmp_path / "reference"
    folder.mkdir()

    subprocess.run([sys.executable, DOCS / "generate.py", folder], check=True)

    for made in tmp_path.rglob("*.md"):
        kept = DOCS / made.relative_to(tmp_path)
        assert kept.read_text("utf-8") == made.read_text("utf-8"), "run: make docs"


def test_the_tables_of_capacity_follow_from_inputs_that_other_pages_have() -> None:
    spec = spec_from_file_location("capacity", DOCS / "capacity.py")
    assert spec
    assert spec.loader
    capacity = sys.modules["capacity"] = module_from_spec(spec)
    spec.loader.exec_module(capacity)
    pages = {p.stem: p.read_text("utf-8") for p in capacity.PAGE.parent.glob("*.md")}
    [of_app] = [limit for limit in LIMITS["youtube"] if limit.name == "uploads"]

    assert capacity.written(pages["capacity"]) == pages["capacity"], "run: make docs"
    load = capacity.Load()
    [a_second] = re.findall(r"with record and events \| (\d+) ", pages["throughput"])
    assert load.job_ms == pytest.approx(1000 / int(a_second), rel=0.02)
    assert f"{a_second} jobs/s" in pages["capacity"]
    assert load.figures_kb * 1000 == pytest.approx(30 * 43 + 365 * 30, rel=0.01)
    assert (
        "about 43 bytes of a SQLite file, a day of a post about 30" in pages["rollups"]
    )
    assert (of_app.limit, of_app.window_s, of_app.per) == (100, 86_400, "app")


def test_every_state_and_field_of_a_job_is_in_the_reference() -> None:
    fields = set(JobRecord.__dataclass_fields__)

    assert names_in_tables("jobs.md") == {*get_args(State), *fields}


def test_every_warning_of_a_video_is_in_the_reference() -> None:
    text = "".join(p.read_text("utf-8") for p in (PACKAGE / "video").glob("*.py"))
    told = re.findall(r'warnings\.(?:append|extend)\(\s*f?"([^"]+)"', text)
    told += re.findall(
        r'warnings=\("(\w+)",\)|return \["(\w+)"\]|"warnings": \["(\w+)"\]', text
    )
    words = {re.sub(r"\{[^}]+\}", "2", "".join(word)) for word in told}

    settings = {"WATERMARK_PATH", "STORAGE_PUBLIC_URL"}
    listed = names_in_tables("warnings.md") - settings
    assert {re.sub(r"\d+|hevc", "2", name) for name in listed} == words


def test_every_event_that_is_told_is_in_the_reference() -> None:
    files = [p for p in (PACKAGE / "engine").rglob("*") if p.suffix in {".py", ".lua"}]
    text = "".join(path.read_text("utf-8") for path in files)
    told = set(re.findall(r"""["'](job\.[a-z]+)["']""", text))
    told |= {*EVENTS.values(), ACCOUNT_LOST, LOCATED, PROCESSED, FAILED}
    told |= {ANOMALY, REPORT}

    assert told == names_in_tables("events.md")


def test_every_place_where_any_exception_is_caught_is_in_the_design() -> None:
    broad = re.compile(r"^\s*except( \(?(Base)?Exception\b.*)?:", re.MULTILINE)

    found = {
        str(path.relative_to(PACKAGE.parent))
        for path in PACKAGE.rglob("*.py")
        if broad.search(path.read_text("utf-8"))
    }

    design = (DOCS / "explanation" / "design.md").read_text("utf-8")
    boundaries = design.partition("## Where any exception is caught")[2]
    boundaries = boundaries.partition("\n## ")[0]
    assert set(re.findall(r"^- `([^`]+)`", boundaries, re.MULTILINE)) == found
