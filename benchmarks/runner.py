"""Runs contestants by turns in one process, so that all feel the same machine.

A benchmark is a module beside this one with ``UNIT``, ``BETTER`` (``higher`` or
``lower``), ``PEER``, ``ROUNDS`` and a context manager ``contestants(scale)``, which
sets the stage and yields functions by name: each does the work once and returns what
it measured.
"""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final


Contestants = Mapping[str, Callable[[], float]]

FOLDER: Final = Path(__file__).parent

#: Packages and programs whose versions decide the figures.
PACKAGES: Final = ("nexus-actors", "dramatiq", "pydantic", "redis")
PROGRAMS: Final = {"redis-server": "--version", "ffmpeg": "-version"}

#: How long a peer that is a program may take for one run, in seconds.
PEER_LIMIT_S: Final = 600


class BenchmarkError(Exception):
    """A benchmark cannot be run; the text says why."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark, read from its module.

    Attributes:
        unit: Of what its contestants return.
        better: ``higher`` or ``lower``.
        peer: The contestant that the others are compared with.
        rounds: At full scale; each contestant runs once in each.
        contestants: Sets the stage at a scale, and yields what is run.
    """

    name: str
    about: str
    unit: str
    better: str
    peer: str
    rounds: int
    contestants: Callable[[float], AbstractContextManager[Contestants]]


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
    modules = sorted(FOLDER.glob("*.py"))
    return [p.stem for p in modules if "\ndef contestants(" in p.read_text("utf-8")]


def load(name: str) -> Benchmark:
    """Read the benchmark called *name*.

    Raises:
        BenchmarkError: There is none.
    """
    if name not in names():
        raise BenchmarkError(f"no benchmark {name!r}; known: {', '.join(names())}")
    module = import_module(f"{__package__}.{name}")
    return Benchmark(
        name=name,
        about=(module.__doc__ or "").strip().splitlines()[0],
        unit=module.UNIT,
        better=module.BETTER,
        peer=module.PEER,
        rounds=module.ROUNDS,
        contestants=module.contestants,
    )


def scaled(count: int, scale: float) -> int:
    """Return *count* at a scale, which is at least 1."""
    return max(1, round(count * scale))


def run(
    benchmark: Benchmark, *, scale: float = 1.0, seed: int | None = None
) -> dict[str, Any]:
    """Run all rounds, and one before them that does not count; return the result.

    Raises:
        BenchmarkError: The peer is missing, or a contestant has measured nothing.
    """
    seed = random.randrange(2**32) if seed is None else seed
    chance, rounds = random.Random(seed), scaled(benchmark.rounds, scale)
    before, started = os.getloadavg()[0], datetime.now(UTC)
    values: dict[str, list[float]] = {}
    with benchmark.contestants(scale) as contestants:
        if benchmark.peer not in contestants:
            raise BenchmarkError(f"{benchmark.name}: no contestant {benchmark.peer!r}")
        for number in range(rounds + 1):
            for name in chance.sample(sorted(contestants), len(contestants)):
                value = measured(name, contestants[name])
                if number > 0:  # the first round warms up
                    values.setdefault(name, []).append(value)
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
            name: summary(found, values[benchmark.peer])
            for name, found in sorted(values.items())
        },
    }


def measured(name: str, contestant: Callable[[], float]) -> float:
    """Run *contestant* once; what it returns must be a positive number."""
    value = contestant()
    if not 0 < value < float("inf"):
        raise BenchmarkError(f"{name} has measured {value}")
    return value


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
        if (path := shutil.which(name))
    }
    return {
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "programs": programs,
    }


def report(result: Mapping[str, Any]) -> str:
    """Return a result for a reader: medians, with the quartiles in brackets."""
    rounds = f"{result['rounds']} rounds at scale {result['scale']:g}"
    what = f"{result['benchmark']}: {result['unit']}, {result['better']} is better"
    lines = [f"{what}; {rounds}"]
    for name, told in result["contestants"].items():
        figures, ratio = Figures(**told["figures"]), Figures(**told["ratio"])
        against = "" if name == result["peer"] else f"  {ratio} × {result['peer']}"
        lines.append(f"  {name:<20} {figures}{against}")
    if max(result["machine"]["load"]) > 1.5 * (result["machine"]["cores"] or 1):
        lines.append("  the machine was busy: trust the ratios, not the values")
    return "\n".join(lines)
