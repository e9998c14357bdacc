"""The command, as a person types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import StartWorker, make_clip
from objectstores import S3Server


def nexus(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nexus_actors", *arguments]
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=120, check=False
    )


def body(video: Path | str, **more: Any) -> str:
    return json.dumps({"video_id": "v1", "input_path": str(video), **more})


def test_send_wait_prints_the_result_and_nothing_else(
    environ: dict[str, str], start_worker: StartWorker, clip: Path
) -> None:
    start_worker()

    done = nexus(environ, "send", "process_video", "--wait", "--json", body(clip))

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["status"] == "succeeded"
    assert result["outputs"].keys() == {"hls", "dash", "mp4"}
    assert result["metadata"]["video"]["codec"] == "h264"
    master = result["outputs"]["hls"]["master"]["uri"].removeprefix("file://")
    assert Path(master).read_text().startswith("#EXTM3U")
    assert {s["name"] for s in result["thumbnails"]} == {"medium", "small"}
    assert set(result["timings"]) >= {"probe", "encode", "verify", "store"}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "not_found"),
        (b"", "empty"),
        (b"just words\n" * 20, "not_media"),
        (b"#EXTM3U\n#EXTINF:1,\nother.mp4\n", "forbidden_format"),
        (b"\x00\x00\x00\x1cftypisom" + bytes(range(256)) * 20, "corrupt"),
    ],
)
def test_an_input_that_cannot_be_right_is_refused_in_one_line(
    environ: dict[str, str], tmp_path: Path, content: bytes | None, code: str
) -> None:
    video = tmp_path / "upload.mp4"
    if content is not None:
        video.write_bytes(content)

    done = nexus(environ, "send", "process_video", "--inline", "--json", body(video))

    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert answer["video_id"] == "v1"
    assert answer["status"] == "failed"
    assert answer["error"]["code"] == code
    assert answer["error"]["retryable"] is False
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "storage").rglob("*.*"))


def test_a_truncated_file_is_refused_and_nothing_is_published(
    environ: dict[str, str], tmp_path: Path, clip: Path
) -> None:
    front = ["-c", "copy", "-movflags", "+faststart", str(tmp_path / "whole.mp4")]
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(clip), *front], check=True)
    whole = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(whole[: len(whole) // 2])

    done = nexus(
        environ,
        *("send", "process_video", "--inline", "--json", body(tmp_path / "half.mp4")),
    )

    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] in {"truncated", "corrupt"}
    assert not list((tmp_path / "storage").rglob("*.*"))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"options": {"formats": ["hlx"]}}, "options.formats.0"),
        ({"options": {"watermrk": True}}, "options.watermrk"),
        ({"vidoe": 1}, "vidoe"),
        ({"input_path": "ftp://example.com/a.mp4"}, "input_path"),
        ({"input_path": "https://me:s3cret@example.com/a.mp4"}, "input_path"),
        ({"video_id": "../../etc"}, "video_id"),
    ],
)
def test_a_wrong_shape_never_reaches_the_queue(
    environ: dict[str, str], clip: Path, wrong: dict[str, Any], named: str
) -> None:
    fields = {"video_id": "v1", "input_path": str(clip), **wrong}

    done = nexus(environ, "send", "process_video", "--json", json.dumps(fields))

    assert done.returncode == 2
    assert named in done.stderr
    assert "s3cret" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    queue = nexus(environ, "events", "--json", "--since", "0", "--no-follow")
    assert queue.stdout == ""


def test_redis_down_is_one_clear_line(environ: dict[str, str], clip: Path) -> None:
    down = environ | {"REDIS_URL": "redis://127.0.0.1:1/0"}

    done = nexus(down, "send", "process_video", "--json", body(clip))

    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "REDIS_URL" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_ffmpeg_is_one_clear_line_with_the_cure(
    environ: dict[str, str], clip: Path
) -> None:
    bare = environ | {"PATH": "/nonexistent"}

    done = nexus(bare, "send", "process_video", "--inline", "--json", body(clip))

    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "missing_tool"
    assert "install ffmpeg" in done.stderr


def test_doctor_names_what_is_missing_and_how_to_install_it(
    environ: dict[str, str],
) -> None:
    whole, bare = nexus(environ, "doctor"), nexus(environ | {"PATH": "/x"}, "doctor")

    assert whole.returncode == 0, whole.stdout
    assert "pango" in whole.stdout
    assert bare.returncode == 1
    assert "install ffmpeg" in bare.stdout


def test_doctor_looks_whether_the_stores_work(
    environ: dict[str, str], s3_server: S3Server
) -> None:
    bucket = s3_server.bucket()
    places = {"STORAGE_URL": f"s3://{bucket}/out"}
    places |= {"NEXUS_STORAGE_INPUT_URL": f"s3://{bucket}/in"}
    missing = {"NEXUS_STORAGE_INPUT_URL": "s3://never-made"}

    works = nexus(environ | s3_server.environ | places, "doctor", "--json")
    fails = nexus(environ | s3_server.environ | places | missing, "doctor", "--json")

    stores = [f for f in json.loads(works.stdout) if f["part"].startswith("storage")]
    assert [f["state"] for f in stores] == ["ok", "warning", "ok"]
    assert works.returncode == 0
    [found] = [f for f in json.loads(fails.stdout) if f["part"] == "storage inputs"]
    assert found["state"] == "missing"
    assert "correct NEXUS_STORAGE_INPUT_URL" in found["found"]
    assert fails.returncode == 1


def test_without_a_redis_the_commands_share_an_embedded_one_that_keeps_the_queue(
    environ: dict[str, str], tmp_path: Path, clip: Path
) -> None:
    alone = {k: v for k, v in environ.items() if k != "REDIS_URL"}
    alone |= {"XDG_STATE_HOME": str(tmp_path / "state")}

    sent = nexus(alone, "send", "process_video", "--json", body(clip))
    shown = nexus(alone, "job", json.loads(sent.stdout)["job"])

    assert json.loads(shown.stdout)["state"] == "queued"
    assert "embedded Redis" in shown.stderr
    assert not (tmp_path / "state" / "nexus-actors" / "redis" / "redis.pid").exists()


def test_what_waits_for_its_time_is_listed_moved_and_cancelled(
    environ: dict[str, str], tmp_path: Path
) -> None:
    later = ("--delay", "3600000", "--priority", "2", "--json", body(tmp_path / "x"))
    job = json.loads(nexus(environ, "send", "process_video", *later).stdout)["job"]

    moved = nexus(environ, "schedule", "move", job, "--due", "2099-01-01T00:00+01:00")
    listed = nexus(environ, "schedule", "list")
    naive = nexus(environ, "schedule", "move", job, "--due", "2099-01-01T00:00")
    cancelled = nexus(environ, "schedule", "cancel", job)
    late = nexus(environ, "schedule", "cancel", job)

    assert moved.returncode == 0, moved.stderr
    assert json.loads(listed.stdout) == {
        "job": job,
        "actor": "video.process_video",
        "queue": "video-processing",
        "due": "2098-12-31T23:00:00+00:00",
    }
    assert naive.returncode == 2
    assert "no time with a zone" in naive.stderr
    assert json.loads(cancelled.stdout) == {"job": job, "cancelled": True}
    assert late.returncode == 1
    assert late.stderr.startswith("error: ")


def test_queues_are_shown_paused_and_resumed_and_a_key_is_sent_once(
    environ: dict[str, str], tmp_path: Path
) -> None:
    options = ("--dedupe-key", "k", "--dedupe-for", "600000", "--group", "g")
    sending = ("send", "process_video", *options, "--json", body(tmp_path / "x"))

    jobs = [json.loads(nexus(environ, *sending).stdout)["job"] for _ in range(2)]
    paused = nexus(environ, "queues", "pause", "video-processing")
    shown = nexus(environ, "queues")
    resumed = nexus(environ, "queues", "resume", "video-processing")
    unknown = nexus(environ, "queues", "pause", "video")

    assert jobs[0] == jobs[1]
    told = {"queue": "video-processing", "changed": True}
    assert json.loads(paused.stdout) == told | {"paused": True}
    assert json.loads(resumed.stdout) == told | {"paused": False}
    queue = json.loads(shown.stdout)
    assert (queue["name"], queue["paused"]) == ("video-processing", True)
    assert (queue["by_priority"], queue["groups"]) == ({"5": 1}, 1)
    assert unknown.returncode == 2
    assert "no queue 'video'; known: analytics-aggregation, " in unknown.stderr


@pytest.mark.parametrize(
    ("actor", "made"),
    [
        ("extract_metadata", "metadata"),
        ("transcode_video", "outputs"),
        ("generate_thumbnails", "poster"),
        ("optimize_video", "output"),
        ("add_watermark", "output"),
    ],
)
def test_every_actor_of_video_works_without_a_queue(
    environ: dict[str, str], tmp_path: Path, actor: str, made: str
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", size="160x120", seconds=1)
    environ |= {"FFMPEG_PRESET": "ultrafast"}
    if actor == "add_watermark":  # any picture is a mark
        environ["WATERMARK_PATH"] = str(tmp_path / "mark.png")
        picture = ["-frames:v", "1", environ["WATERMARK_PATH"]]
        subprocess.run(["ffmpeg", "-v", "error", "-i", str(clip), *picture], check=True)

    done = nexus(environ, "send", actor, "--inline", "--json", body(clip))

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["video_id"], result["status"]) == ("v1", "succeeded")
    assert result[made]
