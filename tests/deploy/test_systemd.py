"""deploy/systemd: systemd itself finds nothing wrong with the units."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from composing import DEPLOY, has
from nexus_actors.app import DOMAINS


UNITS = sorted((DEPLOY / "systemd").iterdir())


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if not has("systemd-analyze"):
        assert os.environ.get("CI") != "true", "no systemd: .ci/bootstrap test"
        pytest.skip("no systemd on this machine: apt-get install systemd")
    for unit in UNITS:  # with the program where it is on this machine
        text = unit.read_text("utf-8").replace("/opt/nexus-actors", sys.prefix)
        (tmp_path / unit.name).write_text(text, "utf-8")
    names = [unit.name.replace("@.", f"@{d}.") for unit in UNITS for d in DOMAINS]

    done = subprocess.run(
        ["systemd-analyze", "verify", *sorted(set(names))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    ours = [line for line in done.stderr.splitlines() if "nexus-" in line]
    assert (done.returncode, ours) == (0, [])


def test_the_watch_restarts_the_worker_by_its_name() -> None:
    texts = {unit.name: unit.read_text("utf-8") for unit in UNITS}

    [watched] = re.findall(r"try-restart (\S+?)%i", texts["nexus-health@.service"])
    assert f"{watched}.service" in texts
    assert "nexus-health@.timer" in texts
