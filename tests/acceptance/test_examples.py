"""The example platforms, as somebody in a browser uses them.

Each is started by the commands of its README: a real server, a real worker, the sandbox
as a process, in a copy of its folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from conftest import ROOT, make_clip, until
from nexus_actors.testing.sandbox import SandboxClient
from pages import Reader, blocks_of
from servers import free_port


@dataclass
class Browser(ABC):
    """Somebody who looks at the platform at *url*."""

    url: str
    session: requests.Session = field(default_factory=requests.Session)

    def get(self, path: str) -> requests.Response:
        """Return a page, wherever it leads."""
        answer = self.session.get(self.url + path, timeout=30)
        assert answer.ok, answer.text
        return answer

    def post(self, path: str, **how: Any) -> requests.Response:
        """Push a button."""
        answer = self.session.post(self.url + path, timeout=30, **how)
        assert answer.ok, answer.text
        return answer

    @abstractmethod
    def upload(self, film: Path, video_id: str) -> None:
        """Send a film."""

    @abstractmethod
    def state(self, video_id: str) -> dict[str, Any]:
        """Return what the page is told."""

    @abstractmethod
    def progress(self, video_id: str) -> list[str]:
        """Return the stages that the page shows."""

    @abstractmethod
    def publish(self, video_id: str) -> None:
        """Post it on YouTube."""

    @abstractmethod
    def report(self) -> str:
        """Return the address at which a report will be."""


class FastApi(Browser):
    """What `index.html` does."""

    def upload(self, film: Path, video_id: str) -> None:
        with film.open("rb") as body:
            path = f"{self.url}/videos/{video_id}?title=Sunrise"
            assert self.session.put(path, data=body, timeout=30).status_code == 202

    def state(self, video_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/videos/{video_id}").json()
        return found

    def progress(self, video_id: str) -> list[str]:
        page = self.get(f"/videos/{video_id}/progress").text
        told = [line for line in page.splitlines() if line]
        states = [json.loads(line.removeprefix("data: ")) for line in told]
        return [each["progress"]["stage"] for each in states if each["progress"]]

    def publish(self, video_id: str) -> None:
        self.post(f"/videos/{video_id}/posts/youtube")

    def report(self) -> str:
        return f"/reports/{self.post('/reports/youtube').json()['job']}"


class Django(Browser):
    """What the forms do."""

    def form(self, page: str, path: str, **how: Any) -> requests.Response:
        """Send a form of a page, with what is hidden in it."""
        token = re.search('csrfmiddlewaretoken" value="([^"]+)', self.get(page).text)
        assert token
        data = {"csrfmiddlewaretoken": token[1]} | how.pop("data", {})
        return self.post(path, data=data, **how)

    def upload(self, film: Path, video_id: str) -> None:
        told = {"id": video_id, "title": "Sunrise"}
        with film.open("rb") as body:
            page = self.form("/", "/", data=told, files={"file": body})
        assert page.url == f"{self.url}/videos/{video_id}"

    def state(self, video_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/videos/{video_id}/state").json()
        return found

    def progress(self, video_id: str) -> list[str]:
        seen: list[str] = []

        def is_ready() -> bool:
            state = self.state(video_id)
            if state["progress"]:
                seen.append(state["progress"]["stage"])
            return bool(state["state"] != "processing")

        until(is_ready, 90)
        return seen

    def publish(self, video_id: str) -> None:
        page = f"/videos/{video_id}"
        self.form(page, f"{page}/posts/youtube")

    def report(self) -> str:
        page = self.form("/", "/reports/youtube")
        return page.url.removeprefix(self.url)


@dataclass(frozen=True)
class Example:
    """One that runs, who looks at it, and its sandbox."""

    browser: Browser
    sandbox: SandboxClient


@pytest.fixture(params=[FastApi, Django])
def example(
    request: pytest.FixtureRequest, redis_url: str, tmp_path: Path
) -> Iterator[Example]:
    name, ports = request.param.__name__.lower(), (free_port(), free_port())
    folder = tmp_path / name
    shutil.copytree(ROOT / "examples" / name, folder)
    environ = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "FFMPEG_PRESET": "ultrafast",
        "HEALTH_CHECK_PORT": "0",  # other tests use this machine, too
    }
    app, sandbox = map(str, ports)
    reader = Reader(folder, environ, Path(), {"8000": app, "8200": sandbox})
    settings = folder / "settings.env"
    text = settings.read_text("utf-8").replace("8000", app).replace("8200", sandbox)
    settings.write_text(text.replace("redis://127.0.0.1:6379/0", redis_url), "utf-8")
    try:
        for block in blocks_of(folder / "README.md"):
            reader.do(block)
        client = SandboxClient(f"http://127.0.0.1:{sandbox}")
        yield Example(request.param(f"http://127.0.0.1:{app}"), client)
        client.close()
    finally:
        reader.close()


def test_a_film_is_uploaded_watched_posted_told_of_and_reported(
    example: Example, tmp_path: Path
) -> None:
    browser, sandbox, video_id = example.browser, example.sandbox, str(uuid4())
    film = make_clip(tmp_path / "film.mp4", size="320x180", seconds=2)

    sandbox.settings(youtube={"consent": {"denied": True}})
    refused = browser.session.get(f"{browser.url}/connect/youtube", timeout=30)
    sandbox.settings(youtube={"consent": {}, "processing_s": 0})
    browser.get("/connect/youtube")
    browser.upload(film, video_id)
    job = browser.state(video_id)["job"]
    browser.upload(film, video_id)  # as if the first answer had been lost
    same = browser.state(video_id)["job"]
    stages = browser.progress(video_id)
    ready = browser.state(video_id)
    for _ in range(2):  # a button that is pushed twice
        browser.publish(video_id)
    until(lambda: bool(browser.state(video_id)["post_url"]), 90)
    at = browser.report()
    until(lambda: browser.get(at).status_code != 202, 90)

    assert refused.status_code == 400
    assert "access_denied" in refused.text or "refused" in refused.text
    assert same == job
    assert {"encode", "stills", "store"} & {
        *stages
    }  # some are over too soon to be seen
    assert ready["state"] == "ready"
    assert "#EXTM3U" in requests.get(ready["url"], timeout=30).text
    [post] = sandbox.truth()["youtube"]
    assert browser.state(video_id)["post_url"].endswith(post["id"])
    until(lambda: bool(sandbox.truth()["sendgrid"]), 90)
    [mail] = sandbox.truth()["sendgrid"]
    assert mail["details"]["recipients"] == ["ann@example.com"]
    assert f"{browser.url}/" in mail["details"]["html"]
    assert "UCsandbox" in browser.get(at).text
