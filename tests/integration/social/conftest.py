"""A place to publish from, which the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexus_actors.testing.sandbox import SandboxClient
from publishing import QUICK, Place


@pytest.fixture
def quick_place(
    nexus_sandbox: SandboxClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Place:
    """Accounts at a sandbox where nothing takes time; the clock can be moved."""
    nexus_sandbox.settings(**QUICK)
    found = Place(tmp_path)
    for name, value in found.environ(nexus_sandbox.url, {}).items():
        monkeypatch.setenv(name, value)
    found.empty()
    return found
