"""Every request of every way to post, disturbed in every way: one post, or none."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import publishing
from conftest import make_clip
from nexus_actors.social.control import settle
from nexus_actors.testing.kill_matrix import Case, Cell, KillMatrix
from nexus_actors.testing.sandbox import SandboxClient
from publishing import POSTS, QUICK, Place
from scale import full, scaled


#: The cells of the small scale: the commit of one way for each platform, and of one
#: that leaves no id behind, where only the mark in the row keeps from a second post.
SMALL: dict[str, set[tuple[int, str, str]]] = {
    "youtube_video": {
        (3, "during", "kill"),
        (6, "after", "cut"),
        (6, "before", "expire"),
    },
    "tiktok_video": {(2, "after", "kill"), (3, "after", "cut")},
    "tiktok_url": {(2, "after", "kill"), (2, "after", "cut"), (2, "before", "kill")},
    "instagram_reel": {(4, "during", "cut"), (6, "after", "kill")},
    "facebook_video": {(4, "after", "cut"), (6, "before", "kill")},
}

#: The irreversible request of ways on which no call can tell that it came to nothing;
#: disturbed before it takes effect, it is for a person to settle.
UNSURE = {"tiktok_url": 2, "tiktok_photo": 2, "facebook_photo": 3, "facebook_link": 2}

UNCONFIRMED = {
    route: set(product([request], ["before", "during"], ["kill", "cut"]))
    for route, request in UNSURE.items()
}
# a draft is in no list, also if it was made
UNCONFIRMED["tiktok_photo_draft"] = set(
    product([1], ["before", "during", "after"], ["kill", "cut"])
)

#: After how many seconds the tokens of a platform have expired.
EXPIRES = {"youtube": 3600.0, "tiktok": 7300.0, "instagram": 5_200_000.0}

#: What a publication may rest in, with one post and with none.
GOOD_ENDS = {1: {"published", "awaiting_user"}, 0: {"failed", "parked"}}

ROUTES = [
    *(pytest.param(route, SMALL[route].__contains__, id=route) for route in SMALL),
    *(pytest.param(r, None, id=f"{r}-all", marks=full) for r in POSTS),
]


@pytest.fixture
def files(reel: Path, tmp_path: Path) -> dict[str, Path]:
    """What is posted."""
    tall = make_clip(tmp_path / "tall.mp4", size="540x960", seconds=4)
    found = {"clip": reel, "tall": tall}
    for name in ("photo", "photo2"):
        found[name] = tmp_path / f"{name}.jpg"
        source = ["-f", "lavfi", "-i", "testsrc2=size=640x640:rate=1:duration=1"]
        command = ["ffmpeg", "-v", "error", *source, "-frames:v", "1"]
        subprocess.run([*command, str(found[name])], check=True)
    return found


@pytest.fixture
def web(files: dict[str, Path], tmp_path: Path) -> Iterator[str]:
    """A server from which platforms fetch what is posted."""
    (tmp_path / "clip.mp4").symlink_to(files["clip"])
    handler = partial(Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.mark.timeout(scaled(180, full=1700))
@pytest.mark.parametrize(("route", "small"), ROUTES)
def test_whatever_is_killed_or_lost_there_is_one_post_or_none(
    route: str,
    small: Callable[[tuple[int, str, str]], bool] | None,
    nexus_sandbox: SandboxClient,
    files: dict[str, Path],
    web: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    platform, place = POSTS[route].platform, Place(tmp_path)
    environ = place.environ(nexus_sandbox.url, files) | {"FILE_WEB": web}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    def judge(truth: dict[str, list[dict[str, Any]]]) -> str | None:
        posts, record = len(truth[platform]), place.record()
        if record["state"] == "unconfirmed" and posts <= 1:
            settle(record["id"], published=bool(posts), remote_id=None)
            record = place.record()
            if record["state"] in GOOD_ENDS[posts]:
                return "unconfirmed"
        if record["state"] not in GOOD_ENDS.get(posts, ()):
            notes = json.loads(record.get("notes", "[]"))
            return f"{posts} posts, and the record says {record['state']}: {notes}"
        return None

    matrix = KillMatrix(
        publishing.flow,
        QuickSandbox(nexus_sandbox.url),
        judge,
        environ={**environ, "ROUTE": route},
        prepare=place.empty,
        expire_s=EXPIRES.get(platform),
    )
    cases = list(matrix.cases(lambda c: small is None or small(spot(c))))

    told = table(route, cases)
    if (folder := os.environ.get("KILL_MATRIX_TABLES")) is not None:
        (Path(folder) / f"{route}.txt").write_text(told)
    wrong = [
        case
        for case in cases
        if case.complaint
        and not (
            case.complaint == "unconfirmed"
            and spot(case) in UNCONFIRMED.get(route, set())
        )
    ]
    assert not wrong, told
    assert small is None or len(cases) == len(SMALL[route])


class QuickSandbox(SandboxClient):
    """A sandbox in which nothing takes time."""

    def reset(self) -> None:
        super().reset()
        self.settings(**QUICK)


def spot(cell: Cell) -> tuple[int, str, str]:
    return cell.request, cell.moment, cell.way


def table(route: str, cases: list[Case]) -> str:
    """Return one line for each kind of disturbance, and what is wrong below."""
    lines = [f"{route}: {len(cases)} cells"]
    for way in ("kill", "cut", "expire"):
        for moment in ("before", "during", "after"):
            here = [c for c in cases if (c.way, c.moment) == (way, moment)]
            if here:
                bad = Counter(c.complaint for c in here if c.complaint)
                lines.append(f"  {way} {moment}: {len(here) - bad.total()} right {bad}")
    lines += [f"  {spot(c)}: {c.complaint}" for c in cases if c.complaint]
    return "\n".join(lines)
