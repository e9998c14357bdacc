"""`nexus-actors demo`, as a person runs it, and its page in a real browser."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from conftest import make_clip
from objectstores import S3Place, S3Server
from scale import full


PLAY = """async () => {
  const video = document.querySelector("video");
  video.muted = true;
  video.playbackRate = 4;
  await video.play();
  while (!video.ended) await new Promise((resolve) => setTimeout(resolve, 50));
  return {
    frames: video.getVideoPlaybackQuality().totalVideoFrames,
    source: video.currentSrc,
    stills: Array.from(document.images, (image) => image.naturalWidth),
  };
}"""

#: Frames of the `clip` fixture: five seconds of 30.
FRAMES = 150


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "nexus_actors", "demo", *map(str, arguments)]


def run(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def is_running(pid: str) -> bool:
    return Path("/proc", pid, "cmdline").exists()


@pytest.mark.browser
def test_the_page_plays_from_disk_and_over_http_and_ctrl_c_ends_it_all(
    page: Page, clip: Path, tmp_path: Path
) -> None:
    arguments = command(clip, "-o", tmp_path / "demo", "--serve", "--port", "0")
    shown = ""
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        try:
            for line in process.stderr:
                shown += line
                if line.startswith("serving"):
                    break
            address = re.findall(r"serving (http://\S+)", shown)[0]
            vendors = re.findall(r"vendors are at (http://\S+)", shown)[0]
            page.goto(vendors)
            page.wait_for_function(
                "() => document.body.innerText.includes('Your video is ready: clip')"
            )

            results: list[Any] = []
            for place in ((tmp_path / "demo" / "index.html").as_uri(), address):
                page.goto(place)
                results.append(page.evaluate(PLAY))
        finally:
            process.send_signal(signal.SIGINT)
        code = process.wait(timeout=20)
        answer = json.loads(process.stdout.read())

    assert code == 0
    assert answer["status"] == "succeeded"
    assert [result["frames"] for result in results] == [FRAMES, FRAMES]
    assert results[0]["source"].endswith(".mp4")
    assert results[1]["source"].endswith(".m3u8")
    assert results[0]["stills"]
    assert all(results[0]["stills"])
    assert "unix://" in shown
    [worker] = re.findall(r"worker.*\((\d+)\)", shown)
    assert not is_running(worker)
    assert "job.started" in (tmp_path / "demo" / "worker.log").read_text()
    told = (tmp_path / "demo" / "arrived.html").read_text()
    assert re.findall(r"<h2>([\w ]+)</h2>", told) == [
        *("Mail", "Mail", "Text message", "Push", "Slack", "Webhook"),
        *("YouTube", "TikTok", "Instagram", "Facebook"),
    ]
    assert {post["state"] for post in answer["posts"].values()} == {"published"}
    report = tmp_path / "demo" / answer["report"]["url"]
    words = report.read_text()
    assert answer["report"]["accounts"] == words.count('<div class="brief">') == 3
    assert "What to do" in words
    assert words.count('src="data:image/jpeg;base64,') >= 9
    assert report.with_suffix(".pdf").read_bytes().startswith(b"%PDF-")
    mail = (tmp_path / "demo" / "arrived-mail-2.html").read_text()
    assert f"https://tube.example/reports/{answer['report']['report']}" in mail


def test_wrong_use_is_one_line_and_touches_nothing(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        cases = [
            (run(tmp_path / "none.mp4", "-o", tmp_path / "a"), "there is no file"),
            (run(clip, "-o", tmp_path / "mine"), "--output"),
            (run(clip, "-o", tmp_path / "b", "--serve", "--port", port), "--port"),
            (run(clip, "-o", clip.parent), "--output"),
            (run(clip.as_uri(), "-o", clip.parent), "--output"),
        ]

    for done, named in cases:
        assert done.returncode == 2, done.stderr
        assert named in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert os.listdir(tmp_path) == ["mine"]  # noqa: PTH208
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
    assert clip.is_file()


def test_a_text_file_fails_the_work_and_leaves_no_page(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("only words\n" * 50)

    done = run(tmp_path / "text.mp4", "-o", tmp_path / "demo")

    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "not_media"
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "demo" / "index.html").exists()


@pytest.mark.browser
@pytest.mark.parametrize(
    "public",
    [
        pytest.param(True, id="public", marks=full),
        pytest.param(False, id="private"),
    ],
)
def test_the_page_plays_what_went_from_one_bucket_to_another(
    public: bool, s3_server: S3Server, page: Page, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", size="320x240", seconds=2)
    place = S3Place(s3_server, s3_server.bucket(public=public), "films")
    uploads = S3Place(s3_server, s3_server.bucket(), "in")
    uploads.write("clip.mp4", clip.read_bytes())
    inputs = f"s3://{uploads.bucket}/in"
    environ = place.environ | {"NEXUS_STORAGE_INPUT_URL": inputs}
    if public:
        url = f"{s3_server.url}/{place.bucket}/films"
        environ["STORAGE_PUBLIC_URL"] = url

    done = run(f"{inputs}/clip.mp4", "-o", tmp_path / "demo", **environ)

    assert done.returncode == 0, done.stderr
    assert f"storage s3://{place.bucket}/films" in done.stderr
    posts = json.loads(done.stdout)["posts"]
    assert {posts[p]["state"] for p in ("youtube", "facebook")} == {"published"}
    # of two seconds, and these take none below three
    codes = {posts[p]["error"]["code"] for p in ("tiktok", "instagram")}
    assert codes == {"invalid_content"}
    page.goto((tmp_path / "demo" / "index.html").as_uri())
    seen = page.evaluate(PLAY)
    assert seen["frames"] == 60
    assert seen["stills"]
    assert all(seen["stills"])
    assert ("/master.m3u8" in seen["source"]) is public
    assert ("X-Amz-Signature=" in seen["source"]) is not public
    assert ("It is private" in page.content()) is not public
    assert not (tmp_path / "demo" / "media").exists()
    assert "Signature" not in (tmp_path / "demo" / "worker.log").read_text()
    found = place.everything()
    assert found
    assert all(
        re.match(r"demo/[0-9a-f]{12}/|reports/[\w-]{20,}/", key) for key in found
    )


def test_a_bucket_that_is_not_there_is_one_line_and_touches_nothing(
    clip: Path, s3_server: S3Server, tmp_path: Path
) -> None:
    environ = s3_server.environ | {"STORAGE_URL": "s3://never-made"}

    done = run(clip, "-o", tmp_path / "demo", **environ)

    assert done.returncode == 2
    assert "there is no bucket 'never-made'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "demo").exists()
