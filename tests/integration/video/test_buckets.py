"""A whole job whose outputs go to a bucket."""

from __future__ import annotations

import hashlib
import random
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from conftest import until
from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.storage import PART_BYTES, Storage
from nexus_actors.video.flows import run
from nexus_actors.video.models import ProcessVideoRequest
from nexus_actors.video.publish import WRITERS, Upload
from nexus_actors.video.settings import VideoSettings
from objectstores import S3Place, S3Server, unsteady
from scale import scaled


@dataclass
class Job:
    """*at* is called where a step begins."""

    at: dict[str, Callable[[], None]] = field(default_factory=dict)
    stages: list[str] = field(default_factory=list)

    def check(self) -> None: ...

    def progress(
        self,
        fraction: float | None,  # noqa: ARG002 - as a job has it
        *,
        stage: str,
        eta_s: float | None = None,  # noqa: ARG002 - likewise
    ) -> None:
        if stage not in self.stages and stage in self.at:
            self.at[stage]()
        self.stages.append(stage)


def process(source: Path, work: Path, job: Job, **options: Any) -> dict[str, Any]:
    body = {"video_id": "film", "input_path": str(source), "options": options}
    return run(
        ProcessVideoRequest.parse(body, what="process_video"),
        settings=VideoSettings.load({"ffmpeg_preset": "ultrafast"}),
        core=CoreSettings.load(),
        work=work,
        job=job,
    ).to_json()


@pytest.mark.parametrize(
    ("formats", "warnings"),
    [
        (["mp4"], []),
        (["mp4", "hls"], ["storage_not_public"]),
        (["dash"], ["storage_not_public"]),
    ],
)
def test_playlists_that_nobody_can_follow_are_told(
    formats: list[str],
    warnings: list[str],
    clip: Path,
    s3_place: S3Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in s3_place.environ.items():
        monkeypatch.setenv(name, value)

    result = process(clip, tmp_path / "work", Job(), formats=formats, thumbnails=False)

    assert result["warnings"] == warnings
    if "mp4" in formats:
        [largest, *_] = result["outputs"]["mp4"]
        with urllib.request.urlopen(largest["url"]) as answer:
            assert answer.headers["Content-Type"] == "video/mp4"
            assert len(answer.read()) == largest["size"]


def test_a_bucket_that_refuses_is_told_before_any_work(
    clip: Path, s3_place: S3Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_place.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STORAGE_URL", "s3://never-made")
    job = Job()

    with pytest.raises(ConfigurationError) as caught:
        process(clip, tmp_path / "work", job)

    assert caught.value.code == "no_bucket"
    assert job.stages == []
    assert not (tmp_path / "work").exists()


#: Of ten minutes: five rungs and a sound in segments of 4 s, and as files.
SEGMENTS = scaled(4, full=150)
SEGMENT_BYTES = scaled(10_000, full=100_000)
FILE_BYTES = scaled(PART_BYTES + 1, full=20 << 20)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What ten minutes of video become: 1,500 objects of 300 MB."""
    chance = random.Random(7)
    root = tmp_path / "out"
    names = [
        f"{track}/{n:05d}.m4s"
        for track in [*(f"v/{r}" for r in (2160, 1440, 1080, 720, 480)), "a/0"]
        for n in range(SEGMENTS)
    ]
    names += [f"v/{n}/init.mp4" for n in range(scaled(6, full=575))]
    names += [f"hls/v_{n}.m3u8" for n in range(scaled(6, full=12))]
    names += ["hls/master.m3u8", "dash/manifest.mpd", "metadata.json"]
    sizes = dict.fromkeys(names, 2_000)
    sizes |= {name: SEGMENT_BYTES for name in names if name.endswith(".m4s")}
    sizes |= {f"mp4/{n}.mp4": FILE_BYTES for n in range(scaled(1, full=10))}
    for name, size in sizes.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(chance.randbytes(size))
    return root


@pytest.mark.timeout(600)
def test_ten_minutes_of_video_reach_an_unsteady_bucket_whole_and_their_entries_last(
    tree: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = S3Place(s3_server, s3_server.bucket())
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    with unsteady(s3_server) as gateway:
        monkeypatch.setenv("NEXUS_STORAGE_ENDPOINT", gateway.url)
        storage = Storage.connect(CoreSettings.load())

        with Upload(tree, "film/v1", storage) as upload:
            upload.finish()

    sent = {str(p.relative_to(tree)): p for p in tree.rglob("*") if p.is_file()}
    prefix = f"{place.prefix}/film/v1/"
    found = s3_server.s3.get_paginator("list_objects_v2").paginate(Bucket=place.bucket)
    stored = {item["Key"]: item["ETag"] for page in found for item in page["Contents"]}
    assert stored.keys() == {prefix + name for name in sent}
    for name, path in sent.items():
        if path.stat().st_size <= PART_BYTES:
            digest = hashlib.md5(path.read_bytes()).hexdigest()
            assert stored[prefix + name] == f'"{digest}"'
        else:
            assert place.read(f"film/v1/{name}") == path.read_bytes()
    kinds = {"500", "cut", "lost"}
    assert gateway.failed.keys() - {""} == kinds
    assert gateway.failed.total() > len(sent) / 10
    assert 3 < gateway.most <= 3 * WRITERS
    order = [path.partition("film/v1/")[2] for path in gateway.written]
    last = max(n for n, name in enumerate(order) if name.endswith((".m4s", ".mp4")))
    playlists = [n for n, name in enumerate(order) if name.startswith("hls/v_")]
    entries = [order.index(n) for n in ("hls/master.m3u8", "dash/manifest.mpd")]
    assert last < min(playlists) <= max(playlists) < min(entries)


def test_media_are_stored_while_later_steps_run_and_what_names_them_is_not(
    clip: Path, s3_place: S3Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_place.environ.items():
        monkeypatch.setenv(name, value)
    seen: list[str] = []

    def wait_for_media() -> None:
        made = [*tmp_path.glob("work/out/[va]/*/*"), *tmp_path.glob("work/out/mp4/*")]
        until(lambda: len(s3_place.everything()) >= len(made))
        seen.extend(s3_place.everything())

    process(clip, tmp_path / "work", Job(at={"stills": wait_for_media}))

    assert {key.split("/")[2] for key in seen} == {"v", "a", "mp4"}
