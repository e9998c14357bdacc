"""Every request of every way to post, disturbed in every way: one post, or none."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import publishing
from nexus_actors.testing.kill_matrix import Case, Cell, KillMatrix
from nexus_actors.testing.sandbox import SandboxClient
from publishing import POSTS, QUICK, Place
from scale import full


#: The cells of the small scale: the commit, and what comes before and after it.
SMALL: dict[str, set[tuple[int, str, str]]] = {
    "youtube_video": {
        (3, "during", "kill"),
        (6, "after", "kill"),
        (6, "after", "cut"),
        (6, "before", "expire"),
    },
}

#: Where no call of the platform can tell whether the post was made: (moment, way) of
#: the irreversible request.  A person settles them.
UNCONFIRMED: dict[str, set[tuple[int, str, str]]] = {}

#: After how many seconds the tokens of a platform have expired.
EXPIRES = {"youtube": 3600.0, "tiktok": 7300.0, "instagram": 5_200_000.0}

#: What a publication may rest in, with one post and with none.
GOOD_ENDS = {1: {"published", "awaiting_user"}, 0: {"failed", "parked"}}

ROUTES = [
    *(pytest.param(route, SMALL[route].__contains__, id=route) for route in SMALL),
    *(pytest.param(r, None, id=f"{r}-all", marks=full) for r in POSTS),
]


@pytest.fixture
def files(clip: Path, tmp_path: Path) -> dict[str, Path]:
    """What is posted."""
    found = {"clip": clip}
    for name in ("photo", "photo2"):
        found[name] = tmp_path / f"{name}.jpg"
        source = ["-f", "lavfi", "-i", "testsrc2=size=640x640:rate=1:duration=1"]
        command = ["ffmpeg", "-v", "error", *source, "-frames:v", "1"]
        subprocess.run([*command, str(found[name])], check=True)
    return found


@pytest.mark.parametrize(("route", "small"), ROUTES)
def test_whatever_is_killed_or_lost_there_is_one_post_or_none(
    route: str,
    small: Callable[[tuple[int, str, str]], bool] | None,
    nexus_sandbox: SandboxClient,
    files: dict[str, Path],
    tmp_path: Path,
) -> None:
    platform, place = POSTS[route].platform, Place(tmp_path)
    ends: Counter[str] = Counter()

    def prepare() -> None:
        place.empty()

    def judge(truth: dict[str, list[dict[str, Any]]]) -> str | None:
        posts, record = len(truth[platform]), place.record()
        ends[record["state"]] += 1
        if record["state"] == "unconfirmed":
            return "unconfirmed" if posts <= 1 else f"{posts} posts"
        if record["state"] not in GOOD_ENDS.get(posts, ()):
            notes = json.loads(record.get("notes", "[]"))
            return f"{posts} posts, and the record says {record['state']}: {notes}"
        return None

    matrix = KillMatrix(
        publishing.flow,
        QuickSandbox(nexus_sandbox.url),
        judge,
        environ={**place.environ(nexus_sandbox.url, files), "ROUTE": route},
        prepare=prepare,
        expire_s=EXPIRES.get(platform),
    )
    cases = list(matrix.cases(lambda c: small is None or small(spot(c))))

    told = table(route, cases)
    print(told)
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
