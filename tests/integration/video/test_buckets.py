"""A whole job whose outputs go to a bucket."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.settings import CoreSettings
from nexus_actors.video.flows import run
from nexus_actors.video.models import ProcessVideoRequest
from nexus_actors.video.settings import VideoSettings
from objectstores import S3Place


@dataclass
class Job:
    stages: list[str] = field(default_factory=list)

    def check(self) -> None: ...

    def progress(
        self,
        fraction: float | None,  # noqa: ARG002 - as a job has it
        *,
        stage: str,
        eta_s: float | None = None,  # noqa: ARG002 - likewise
    ) -> None:
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
