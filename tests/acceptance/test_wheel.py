"""What users install: the files and the metadata of the wheel and the sdist."""

from __future__ import annotations

import re
import subprocess
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from packaging.metadata import Metadata
from readme_renderer import markdown
from trove_classifiers import classifiers

from conftest import ROOT
from releases import build


#: What the library is made with, each in the base, an extra or a dependency group.
FIXED = {
    *("dramatiq", "redis", "ffmpeg-python", "wand", "requests", "tenacity", "jinja2"),
    *("sendgrid", "twilio", "firebase-admin", "slack-sdk", "prometheus-client"),
    "pytest",
}


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def raw_metadata(wheel: Path, names: set[str]) -> bytes:
    [path] = [name for name in names if name.endswith(".dist-info/METADATA")]
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(path)


@pytest.fixture(scope="module")
def metadata(raw_metadata: bytes) -> Message:
    return message_from_bytes(raw_metadata)


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
    metadata: Message, raw_metadata: bytes
) -> None:
    strict = Metadata.from_email(raw_metadata, validate=True)

    assert strict.name == "nexus-actors"
    assert set(strict.classifiers or ()) <= classifiers
    assert metadata["Metadata-Version"] in {"2.3", "2.4"}
    assert metadata["License-Expression"] == "MIT"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Description-Content-Type"].startswith("text/markdown")
    assert set(metadata.get_all("Provides-Extra", [])) == set(
        project()["project"]["optional-dependencies"]
    )


def test_what_pypi_shows_is_rendered_and_leads_nowhere_in_a_repository(
    metadata: Message,
) -> None:
    shown = markdown.render(str(metadata.get_payload()))

    assert shown is not None
    assert re.search("<h1[^>]*>nexus-actors<", shown)
    assert "<table>" in shown
    addresses = re.findall(r"""(?:href|src)="([^"]*)\"""", shown)
    assert all(address.startswith(("https://", "#")) for address in addresses)


def test_the_sdist_holds_what_is_kept_under_version_control_and_nothing_else(
    sdist: Path,
) -> None:
    with tarfile.open(sdist) as archive:
        packed = {
            member.name.partition("/")[2] for member in archive if member.isfile()
        }

    left_out = {".gitignore", ".pre-commit-config.yaml"}
    made = {"PKG-INFO", "pyproject.toml.orig"}
    tracked, new = listed("--cached"), listed("--others")
    assert tracked - left_out <= packed
    assert packed - made <= tracked | new


def listed(which: str) -> set[str]:
    """Return the files that git knows of; an unpacked sdist is no checkout."""
    git = ["git", "-C", str(ROOT), "ls-files", "--exclude-standard", which]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is no checkout")
    return {name for name in done.stdout.splitlines() if (ROOT / name).is_file()}


def test_the_wheel_made_of_the_sdist_is_that_of_the_checkout(
    wheel: Path, sdist: Path, tmp_path: Path
) -> None:
    [again] = build(sdist, tmp_path, "--wheel")

    assert again.name == wheel.name
    assert contents(again) == contents(wheel)


def contents(wheel: Path) -> dict[str, bytes]:
    """Return its files, but for those that say what it was built with."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            name: archive.read(name)
            for name in archive.namelist()
            if not name.endswith((".dist-info/RECORD", ".dist-info/WHEEL"))
        }


def test_the_changelog_has_the_version_that_is_released() -> None:
    version = project()["project"]["version"]
    headings = re.findall(
        r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert headings[:2] == ["Unreleased", version]


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
