"""Runs contestants by turns in one process, so that all feel the same machine.

A benchmark is a module here or in a folder here with ``UNIT``, ``BETTER`` (``higher``
or ``lower``), ``PEER``, ``ROUNDS`` and a context manager ``contestants(scale)``, which
sets the stage and yields functions by name: each does the work once and returns what
it measured, one figure or several by name.  ``LINES``, if there are any, say which
ratios are promised; ``WARM_UP = False`` leaves out the round that warms up.
"""

from __future__ import annotations

import json
import math
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final


Measured = float | Mapping[str, float]
Contestants = Mapping[str, Callable[[], Measured]]

FOLDER: Final = Path(__file__).parent

#: Packages and programs whose versions decide the figures.
PACKAGES: Final = ("nexus-actors", "dramatiq", "hiredis", "pydantic", "redis")
PROGRAMS: Final = {
    "redis-server": "--version",
    "ffmpeg": "-version",
    "node": "--version",
}

#: The lock file of the peers from npm.
LOCK: Final = FOLDER / "queue" / "package-lock.json"

#: How long a peer that is a program may take for one run, in seconds.
PEER_LIMIT_S: Final = 600


class BenchmarkError(Exception):
    """A benchmark cannot be run; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What is promised: a contestant's ratio to a peer, as a median, of each figure."""

    contestant: str
    peer: str
    at_least: float = 0
    at_most: float = math.inf

    def __str__(self) -> str:
        limit = (
            f"at least {self.at_least:g}"
            if self.at_least
            else f"at most {self.at_most:g}"
        )
        return f"{limit} × {self.peer}"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark, read from its module.

    Attributes:
        unit: Of what its contestants return.
        better: ``higher`` or ``lower``.
        peer: The contestant that the others are compared with.
        rounds: At full scale; each contestant runs once in each.
        contestants: Sets the stage at a scale, and yields what is run.
        lines: What is promised.
        warm_up: Whether a round that does not count comes before the others.
    """

    name: str
    about: str
    unit: str
    better: str
    peer: str
    rounds: int
    contestants: Callable[[float], AbstractContextManager[Contestants]]
    lines: Sequence[Line] = ()
    warm_up: bool = True


@dataclass(frozen=True, slots=True)
class Figures:
    """Median and quartiles of some values."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figures:
        """Return the figures of *values*; of one value, all three are that."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    def __str__(self) -> str:
        return f"{self.median:.4g} ({self.low:.4g} to {self.high:.4g})"


def names() -> list[str]:
    """Return the names of all benchmarks, sorted."""
    modules = sorted([*FOLDER.glob("*.py"), *FOLDER.glob("*/*.py")])
    return [
        module.relative_to(FOLDER).with_suffix("").as_posix()
        for module in modules
        if "\ndef contestants(" in module.read_text("utf-8")
    ]


def chosen(wanted: Sequence[str]) -> list[str]:
    """Return the names that *wanted* stands for: a folder is all in it, nothing is all.

    Raises:
        BenchmarkError: One is neither.
    """
    found: list[str] = []
    for name in wanted:
        of_it = [known for known in names() if known == name or f"{name}/" in known]
        if not of_it:
            raise BenchmarkError(f"no benchmark {name!r}; known: {', '.join(names())}")
        found += of_it
    return found or names()


def load(name: str) -> Benchmark:
    """Read the benchmark called *name*, which is one of `names`."""
    module = import_module(f"{__package__}.{name.replace('/', '.')}")
    return Benchmark(
        name=name,
        about=(module.__doc__ or "").strip().splitlines()[0],
        unit=module.UNIT,
        better=module.BETTER,
        peer=module.PEER,
        rounds=module.ROUNDS,
        contestants=module.contestants,
        lines=getattr(module, "LINES", ()),
        warm_up=getattr(module, "WARM_UP", True),
    )


def scaled(count: int, scale: float) -> int:
    """Return *count* at a scale, which is at least 1."""
    return max(1, round(count * scale))


def run(
    benchmark: Benchmark, *, scale: float = 1.0, seed: int | None = None
) -> dict[str, Any]:
    """Run all rounds, mostly one before them that does not count; return the result.

    Raises:
        BenchmarkError: The peer is missing, or a contestant has measured nothing.
    """
    seed = random.randrange(2**32) if seed is None else seed
    chance, rounds = random.Random(seed), scaled(benchmark.rounds, scale)
    warms_up = benchmark.warm_up and rounds > 1
    before, started = os.getloadavg()[0], datetime.now(UTC)
    values: dict[str, list[float]] = {}
    with benchmark.contestants(scale) as contestants:
        if benchmark.peer not in contestants:
            raise BenchmarkError(f"{benchmark.name}: no contestant {benchmark.peer!r}")
        for number in range(0 if warms_up else 1, rounds + 1):
            for name in chance.sample(sorted(contestants), len(contestants)):
                for label, value in measured(name, contestants[name]).items():
                    if number > 0:  # the first round warms up
                        values.setdefault(label, []).append(value)
    return {
        "benchmark": benchmark.name,
        "unit": benchmark.unit,
        "better": benchmark.better,
        "peer": benchmark.peer,
        "scale": scale,
        "seed": seed,
        "rounds": rounds,
        "started": started.isoformat(timespec="seconds"),
        "machine": machine()
        | {"load": [round(before, 2), round(os.getloadavg()[0], 2)]},
        "contestants": {
            label: summary(found, values[labelled(label, benchmark.peer)])
            for label, found in sorted(values.items())
        },
        "lines": [told for line in benchmark.lines for told in judged(line, values)],
    }


def measured(name: str, contestant: Callable[[], Measured]) -> dict[str, float]:
    """Run *contestant* once; return its figures under the labels of their rows.

    Raises:
        BenchmarkError: One is not a positive number.
    """
    found = contestant()
    if not isinstance(found, Mapping):
        found = {"": found}
    values = {f"{name}, {part}" if part else name: v for part, v in found.items()}
    for value in values.values():
        if not 0 < value < math.inf:
            raise BenchmarkError(f"{name} has measured {value}")
    return values


def labelled(label: str, name: str) -> str:
    """Return the label of the same figure of the contestant *name*."""
    _, comma, figure = label.partition(", ")
    return f"{name}{comma}{figure}"


def judged(
    line: Line, values: Mapping[str, Sequence[float]]
) -> Iterator[dict[str, Any]]:
    """Say of each figure whether *line* holds."""
    for label, found in values.items():
        if label.partition(", ")[0] == line.contestant:
            peers = values[labelled(label, line.peer)]
            ratio = Figures.of([v / p for v, p in zip(found, peers, strict=True)])
            yield {
                "contestant": label,
                "line": str(line),
                "ratio": asdict(ratio),
                "holds": line.at_least <= ratio.median <= line.at_most,
            }


def summary(values: Sequence[float], peers: Sequence[float]) -> dict[str, Any]:
    """Return what a result tells of a contestant.

    Its *ratio* is to the peer in the same round: what disturbs the machine for a while
    disturbs both, and is not in it.
    """
    ratios = [value / peer for value, peer in zip(values, peers, strict=True)]
    told = {"figures": Figures.of(values), "ratio": Figures.of(ratios)}
    return {name: asdict(figures) for name, figures in told.items()} | {
        "values": list(values)
    }


def external(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Callable[[], float]:
    """Return a contestant that is a program of its own.

    It does its work once, and the last line that it prints is JSON with a number under
    ``value``.  *env* is added to the environment.
    """

    def contestant() -> float:
        try:
            done = subprocess.run(  # noqa: S603 - a benchmark's own command
                command,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                capture_output=True,
                text=True,
                timeout=PEER_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BenchmarkError(
                f"{command[0]} does not start or end: {error}"
            ) from error
        if done.returncode:
            said = (done.stderr.strip() or "nothing").splitlines()[-1]
            raise BenchmarkError(f"{command[0]} ended with {done.returncode}: {said}")
        lines = done.stdout.strip().splitlines() or [""]
        try:
            return float(json.loads(lines[-1])["value"])
        except (ValueError, TypeError, KeyError) as error:
            text = f"{command[0]} printed no JSON with a value, but {lines[-1]!r}"
            raise BenchmarkError(text) from error

    return contestant


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    programs = {
        name: subprocess.check_output([path, option], text=True).splitlines()[0]  # noqa: S603 - ours
        for name, option in PROGRAMS.items()
        if (path := program(name))
    }
    locked = json.loads(LOCK.read_text("utf-8"))["packages"]
    return {
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES}
        | {"bullmq": locked["node_modules/bullmq"]["version"]},
        "programs": programs,
    }


def program(name: str) -> str | None:
    """Return the path of a program, first of those of this virtual environment."""
    own = Path(sys.executable).with_name(name)
    return str(own) if own.exists() else shutil.which(name)


def report(result: Mapping[str, Any]) -> str:
    """Return a result for a reader: medians, with the quartiles in brackets."""
    rounds = f"{result['rounds']} rounds at scale {result['scale']:g}"
    what = f"{result['benchmark']}: {result['unit']}, {result['better']} is better"
    lines = [f"{what}; {rounds}"]
    for name, told in result["contestants"].items():
        figures, ratio = Figures(**told["figures"]), Figures(**told["ratio"])
        is_peer = name == labelled(name, result["peer"])
        against = "" if is_peer else f"  {ratio} × {result['peer']}"
        lines.append(f"  {name:<36} {figures}{against}")
    for told in result["lines"]:
        verdict = "holds" if told["holds"] else "DOES NOT HOLD"
        lines.append(
            f"  {verdict}: {told['contestant']} {told['line']}: "
            f"{Figures(**told['ratio'])}"
        )
    if max(result["machine"]["load"]) > 1.5 * (result["machine"]["cores"] or 1):
        lines.append("  the machine was busy: trust the ratios, not the values")
    return "\n".join(lines)


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Return results as a page of Markdown: versions, machine, medians, spread."""
    machine = results[-1]["machine"]
    versions = {**machine["packages"], **machine["programs"]}
    page = [
        "# Results",
        "",
        f"{machine['system']}, {machine['cores']} cores, Python {machine['python']}",
        "",
        ", ".join(f"{name} {told}" for name, told in versions.items()),
        "",
        "Medians, with the quartiles in brackets; ratios are those of each round.",
    ]
    for result in results:
        what = f"{result['unit']}, {result['better']} is better"
        loads = " to ".join(map(str, result["machine"]["load"]))
        how = f"at scale {result['scale']:g}, seed {result['seed']}, load {loads}"
        page += [
            "",
            f"## {result['benchmark']}",
            "",
            f"{what}; {result['rounds']} rounds {how}",
            "",
            f"| | {result['unit']} | × {result['peer']} | lines |",
            "| --- | --- | --- | --- |",
        ]
        for name, told in result["contestants"].items():
            figures, ratio = Figures(**told["figures"]), Figures(**told["ratio"])
            lines = "; ".join(
                f"{line['line']}: {line['ratio']['median']:.3g}, "
                + ("holds" if line["holds"] else "**does not hold**")
                for line in result["lines"]
                if line["contestant"] == name
            )
            page.append(f"| {name} | {figures} | {ratio} | {lines} |")
    return "\n".join([*page, ""])
