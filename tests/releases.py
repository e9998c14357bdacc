"""Builds what is published, and installs it as users do: with uv, from the wheel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT


UV = Path(sys.executable).with_name("uv")


def run_uv(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run uv; where it is not installed, skip on a desk and fail in CI."""
    if not UV.exists():
        give_up("uv is not installed")
    return subprocess.run(
        [UV, *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def give_up(reason: str) -> None:
    """Skip on a desk, fail in CI."""
    assert not os.environ.get("CI"), reason
    pytest.skip(reason)


def build(source: Path, folder: Path, *options: str) -> list[Path]:
    """Build *source*, a folder or an sdist, without a network; return what was made."""
    hermetic = ["--quiet", "--offline", "--no-build-isolation", "--no-create-gitignore"]
    where = ["--python", sys.executable, "--out-dir", str(folder)]
    done = run_uv("build", *hermetic, *where, *options, str(source))
    if done.returncode and "No module named 'uv_build'" in done.stderr:
        give_up("the build backend is not installed")
    assert done.returncode == 0, done.stderr
    return sorted(folder.iterdir())


def install(folder: Path, requirement: str) -> Path:
    """Make an environment with *requirement* and nothing else; return its programs.

    Packages come from uv's cache, where those of the tests have been installed from.
    """
    done = run_uv("venv", "--quiet", "--python", sys.executable, str(folder))
    assert done.returncode == 0, done.stderr
    command = ["pip", "install", "--quiet", "-c", str(ROOT / ".ci" / "constraints.txt")]
    for options in (["--offline"], []):
        done = run_uv(*command, *options, requirement, VIRTUAL_ENV=str(folder))
        if done.returncode == 0:
            return folder / "bin"
    give_up(f"neither uv's cache nor an index has the packages: {done.stderr}")
    raise AssertionError  # not reached
