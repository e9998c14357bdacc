"""What users install: the wheel's files and metadata."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT


#: What the library is made with, each in the base, an extra or a dependency group.
FIXED = {
    *("dramatiq", "redis", "ffmpeg-python", "wand", "requests", "tenacity", "jinja2"),
    *("sendgrid", "twilio", "firebase-admin", "slack-sdk", "prometheus-client"),
    "pytest",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        assert not os.environ.get("CI"), "uv is not installed"
        pytest.skip("uv is not installed")
    options = ["--quiet", "--wheel", "--offline", "--no-build-isolation"]
    done = subprocess.run(
        [uv, "build", *options, "--python", sys.executable, "--out-dir", folder, ROOT],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and "No module named 'uv_build'" in done.stderr:
        assert not os.environ.get("CI"), done.stderr
        pytest.skip("the build backend is not installed")
    assert done.returncode == 0, done.stderr
    [made] = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path, names: set[str]) -> Message:
    [path] = [name for name in names if name.endswith(".dist-info/METADATA")]
    with zipfile.ZipFile(wheel) as archive:
        return message_from_bytes(archive.read(path))


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def names_of(requirements: list[Any]) -> set[str]:
    texts = [item for item in requirements if isinstance(item, str)]
    return {re.split(r"[^\w.-]", text, maxsplit=1)[0].lower() for text in texts}


def test_the_wheel_holds_the_whole_package_and_nothing_else(names: set[str]) -> None:
    source = ROOT / "src"
    kept = {
        str(path.relative_to(source))
        for path in (source / "nexus_actors").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }

    packed = {name for name in names if ".dist-info/" not in name and name[-1] != "/"}

    assert packed == kept
    assert {"nexus_actors/py.typed", "nexus_actors/cli/demo_page.html"} <= packed
    assert any(name.endswith(".lua") for name in packed)


def test_the_metadata_is_of_a_version_that_publishing_tools_take(
    metadata: Message,
) -> None:
    assert metadata["Metadata-Version"] in {"2.3", "2.4"}
    assert metadata["License-Expression"] == "MIT"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Description-Content-Type"].startswith("text/markdown")
    assert set(metadata.get_all("Provides-Extra", [])) == set(
        project()["project"]["optional-dependencies"]
    )


def test_every_fixed_package_is_required_somewhere(metadata: Message) -> None:
    required = names_of(metadata.get_all("Requires-Dist", []))
    grouped = {
        name
        for group in project()["dependency-groups"].values()
        for name in names_of(group)
    }

    assert required | grouped >= FIXED


def test_the_constraints_cover_whatever_may_be_installed(metadata: Message) -> None:
    pinned = names_of((ROOT / ".ci" / "constraints.txt").read_text().splitlines())
    required = names_of(metadata.get_all("Requires-Dist", []))
    for group in project()["dependency-groups"].values():
        required |= names_of(group)

    assert required - {"nexus-actors"} <= pinned
