"""What every packager promises, whatever its format."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from nexus_actors.video.adapters.dash import DashPackager
from nexus_actors.video.adapters.hls import HlsPackager
from nexus_actors.video.adapters.hls_ts import HlsTsPackager
from nexus_actors.video.adapters.mp4 import Mp4Packager
from nexus_actors.video.base import Packager, Workbench
from nexus_actors.video.models import Presentation


Film = Callable[[str], tuple[Presentation, Workbench]]
Made = tuple[Presentation, Workbench, list[str]]


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class PackagerContract:
    """Inherit and name the packager."""

    adapter: ClassVar[type[Packager]]

    @pytest.fixture(params=["film", "silent", "short"])
    def tracks(
        self, request: pytest.FixtureRequest, film: Film, tmp_path: Path
    ) -> tuple[Presentation, Workbench]:
        """Encoded tracks of a film, and nothing else."""
        presentation, bench = film(request.param)
        root = tmp_path / "work" / "out"
        for track in (*presentation.video, *presentation.audio):
            shutil.copytree(bench.root / track.folder, root / track.folder)
        return presentation, replace(bench, root=root)

    def test_it_returns_what_it_has_written_and_writes_nothing_else(
        self, tracks: tuple[Presentation, Workbench]
    ) -> None:
        presentation, bench = tracks
        before = contents(bench.root.parent)

        made = self.adapter().package(presentation, bench)

        after = contents(bench.root.parent)
        assert len(made) == len(set(made))
        assert after.keys() - before.keys() == {f"out/{path}" for path in made}
        assert all(after[f"out/{path}"] for path in made)
        assert {name: after[name] for name in before} == before  # tracks are shared

    def test_again_it_makes_the_same(
        self, tracks: tuple[Presentation, Workbench]
    ) -> None:
        presentation, bench = tracks
        made = self.adapter().package(presentation, bench)
        first = contents(bench.root)
        (bench.root / made[-1]).write_bytes(b"what an attempt that died has left")

        assert self.adapter().package(presentation, bench) == made
        assert contents(bench.root) == first

    def test_what_names_others_comes_after_them(
        self, tracks: tuple[Presentation, Workbench]
    ) -> None:
        presentation, bench = tracks
        made = self.adapter().package(presentation, bench)

        for number, path in enumerate(made):
            text = (bench.root / path).read_bytes()
            later = [Path(other).name.encode() for other in made[number + 1 :]]
            assert not [name for name in later if name in text]


class TestDashPackager(PackagerContract):
    adapter = DashPackager


class TestHlsPackager(PackagerContract):
    adapter = HlsPackager


class TestHlsTsPackager(PackagerContract):
    adapter = HlsTsPackager


class TestMp4Packager(PackagerContract):
    adapter = Mp4Packager
