"""Every benchmark runs; what it measures is judged by people."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import runner
from benchmarks.runner import (
    Benchmark,
    BenchmarkError,
    Contestants,
    Line,
    external,
)
from conftest import ROOT


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


@pytest.mark.parametrize("name", runner.names())
def test_a_benchmark_runs_at_a_hundredth_of_its_size(name: str, tmp_path: Path) -> None:
    done = command("run", name, "--scale", "0.01", "--output", str(tmp_path))

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == json.loads((tmp_path / f"{name}.json").read_text("utf-8"))
    assert len(result["contestants"]) >= 2
    for told in result["contestants"].values():
        assert len(told["values"]) == result["rounds"]
        assert all(value > 0 for value in told["values"])
    peers = [
        told["ratio"]["median"]
        for label, told in result["contestants"].items()
        if label.partition(", ")[0] == result["peer"]
    ]
    assert peers
    assert set(peers) == {1}
    assert f"## {name}" in (tmp_path / "results.md").read_text("utf-8")


def test_the_readme_names_every_benchmark() -> None:
    page = (ROOT / "benchmarks" / "README.md").read_text("utf-8")

    assert re.findall(r"^\| `([\w/]+)` \|", page, re.MULTILINE) == sorted(
        runner.names(), key=page.index
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("run", "no_such"),
            "error: no benchmark 'no_such'; known: analytics/detect, ",
        ),
        (("run", "--scale", "0"), "argument --scale: invalid positive value: '0'"),
        (("run", "--scale", "nan"), "argument --scale: invalid positive value: 'nan'"),
    ],
)
def test_wrong_use_is_one_line(arguments: tuple[str, ...], said: str) -> None:
    done = command(*arguments)

    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


# The runner, on contestants that measure nothing


def benchmark(contestants: Contestants, *, rounds: int = 20) -> Benchmark:
    @contextmanager
    def stage(_: float) -> Iterator[Contestants]:
        yield contestants

    return Benchmark("made-up", "", "s", "lower", "peer", rounds, stage)


def counted(log: list[str], name: str, value: float) -> Any:
    def contestant() -> float:
        log.append(name)
        return value

    return contestant


def test_in_each_round_all_run_once_in_an_order_of_chance() -> None:
    log: list[str] = []
    sides = {name: counted(log, name, 1) for name in ("a", "peer")}

    runner.run(benchmark(sides), seed=1)

    rounds = [tuple(log[at : at + 2]) for at in range(0, len(log), 2)]
    assert len(rounds) == 21  # one warms up
    assert set(rounds) == {("a", "peer"), ("peer", "a")}


def test_the_same_seed_makes_the_same_order() -> None:
    logs: list[list[str]] = [[], []]
    for log in logs:
        sides = {name: counted(log, name, 1) for name in ("a", "b", "peer")}
        runner.run(benchmark(sides), seed=7)

    assert logs[0] == logs[1]


def test_a_ratio_is_to_the_peer_in_the_same_round() -> None:
    slower = iter([1.0] + [float(n) for n in range(1, 21)])
    faster = iter([1.0] + [2.0 * n for n in range(1, 21)])

    result = runner.run(
        benchmark({"peer": lambda: next(slower), "ours": lambda: next(faster)}), seed=1
    )

    told = result["contestants"]
    assert told["peer"]["figures"] == {"median": 10.5, "low": 5.75, "high": 15.25}
    assert told["ours"]["ratio"] == {"median": 2, "low": 2, "high": 2}
    assert "21 (11.5 to 30.5)  2 (2 to 2) × peer" in runner.report(result)


def test_each_figure_is_held_to_the_lines_of_its_contestant() -> None:
    sides: Contestants = {
        "peer": lambda: {"p50": 2.0, "p95": 4.0},
        "ours": lambda: {"p50": 3.0, "p95": 4.0},
    }
    held = replace(
        benchmark(sides), lines=[Line(contestant="ours", peer="peer", at_least=1.2)]
    )

    result = runner.run(held)

    told = {line["contestant"]: line["holds"] for line in result["lines"]}
    assert told == {"ours, p50": True, "ours, p95": False}
    assert result["contestants"]["ours, p50"]["ratio"]["median"] == 1.5
    assert "DOES NOT HOLD: ours, p95 at least 1.2 × peer: 1" in runner.report(result)
    row = (
        "| ours, p50 | 3 (3 to 3) | 1.5 (1.5 to 1.5) | at least 1.2 × peer: 1.5, holds"
    )
    assert row in runner.table([result])


def test_a_folder_names_all_benchmarks_in_it() -> None:
    found = runner.chosen(["queue", "ladder"])

    assert found[-1] == "ladder"
    assert found[:-1] == [name for name in runner.names() if name.startswith("queue/")]
    assert len(found) > 2
    assert runner.chosen([]) == runner.names()


def test_a_scale_makes_rounds_fewer_but_never_none() -> None:
    sides = {"peer": lambda: 1.0}

    assert runner.run(benchmark(sides), scale=0.25)["rounds"] == 5
    assert runner.run(benchmark(sides), scale=0.0001)["rounds"] == 1


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_what_has_measured_nothing_is_an_error(value: float) -> None:
    with pytest.raises(BenchmarkError, match="ours has measured"):
        runner.run(benchmark({"peer": lambda: 1.0, "ours": lambda: value}))


def test_without_its_peer_a_benchmark_says_nothing() -> None:
    with pytest.raises(BenchmarkError, match="made-up: no contestant 'peer'"):
        runner.run(benchmark({"ours": lambda: 1.0}))


def program(code: str, **env: str) -> float:
    return external([sys.executable, "-c", code], env=env)()


def test_a_peer_may_be_a_program() -> None:
    code = """
import os
print("it says much")
print('{"value": ' + os.environ["SIZE"] + "}")
"""

    assert program(code, SIZE="12.5") == 12.5


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; sys.exit('no such queue')", "ended with 1: no such queue"),
        ("print('12.5')", "printed no JSON with a value, but '12.5'"),
        ("print('[]')", "printed no JSON with a value"),
        ("", "printed no JSON with a value, but ''"),
    ],
)
def test_a_program_that_fails_is_told_with_what_it_said(code: str, said: str) -> None:
    with pytest.raises(BenchmarkError, match=re.escape(said)):
        program(code)


def test_a_program_that_is_not_installed_is_named() -> None:
    with pytest.raises(BenchmarkError, match="no-such-program does not start or end"):
        external(["no-such-program"])()
