"""One answer for all processes at a port, which hides none of them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from nexus_actors.engine.signs import Process
from nexus_actors.engine.verdict import Verdict


def process(*, pid: int = 7, silent_s: float = 0.4, **about: Any) -> Process:
    usual = {
        "pid": pid,
        "worker": "video-processor",
        "state": "ready",
        "stuck": [],
        "checks": {"redis": "ok"},
        "serves": False,
        "began": time.monotonic() - 60,
        "limit_s": 30.0,
        "memory": {"rss": 1000},
    }
    return Process("name", usual | about, silent_s)


def told(verdict: Verdict, path: str) -> tuple[int, dict[str, Any]]:
    answer = {"live": verdict.live, "ready": verdict.ready, "health": verdict.health}
    made = answer[path]()
    return made.status.value, json.loads(made.body)


def test_health_has_the_shape_of_the_previous_system() -> None:
    verdict = Verdict.of([process(), process(pid=8)], awake_s=100)

    status, health = told(verdict, "health")

    assert status == 200
    assert health["status"] == "healthy"
    assert health["worker"] == "video-processor"
    assert health["uptime"] == pytest.approx(60, abs=5)
    assert health["memory"] == {"rss": 2000}
    assert [part["pid"] for part in health["processes"]] == [7, 8]
    assert health["processes"][0]["checks"] == {"redis": "ok"}


@pytest.mark.parametrize(
    ("wrong", "live", "ready", "status", "reason"),
    [
        ({"state": "booting"}, 200, 503, "unhealthy", "process 8: booting"),
        ({"state": "draining"}, 200, 503, "draining", "process 8: draining"),
        (
            {"checks": {"redis": "ok", "ffmpeg": "ffmpeg is not installed"}},
            *(200, 503, "unhealthy", "process 8: ffmpeg: ffmpeg is not installed"),
        ),
        ({"stuck": ["a thread"]}, 503, 503, "hung", "process 8: a thread"),
        ({"silent_s": 31}, 503, 503, "hung", "process 8: no sign of life for 31 s"),
        (
            {"silent_s": 31, "state": "draining"},
            *(503, 503, "hung", "process 8: no sign of life for 31 s"),
        ),
    ],
)
def test_what_is_wrong_with_one_process_is_told_for_all(
    wrong: dict[str, Any], live: int, ready: int, status: str, reason: str
) -> None:
    verdict = Verdict.of([process(), process(pid=8, **wrong)], awake_s=100)

    assert told(verdict, "live")[0] == live
    assert told(verdict, "ready")[0] == ready
    code, health = told(verdict, "health")
    assert (code, health["status"]) == (503, status)
    assert health["reasons"][0] == reason
    assert (reason in told(verdict, "live")[1]["reasons"]) == (live == 503)


def test_who_has_slept_judges_nobody_who_may_have_slept_too() -> None:
    asleep = [process(silent_s=3600)]

    assert told(Verdict.of(asleep, awake_s=1), "live")[0] == 200
    assert told(Verdict.of(asleep, awake_s=6), "live")[0] == 503


def test_where_no_process_says_how_it_is_it_is_not_said_to_be_ready() -> None:
    nobody = Verdict.of([], awake_s=100)

    assert told(nobody, "ready")[0] == 503
    assert told(nobody, "health")[1]["status"] == "unhealthy"


def test_workers_of_several_kinds_have_a_name_together() -> None:
    kinds = [process(), process(worker="social-publisher")]

    _, health = told(Verdict.of(kinds, awake_s=100), "health")

    assert health["worker"] == "nexus-actors"
    names = [part["worker"] for part in health["processes"]]
    assert names == ["video-processor", "social-publisher"]
