"""Milliseconds of CPU that an import costs a host, the interpreter's start included."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from .runner import Contestants


UNIT = "ms of CPU"
BETTER = "lower"
PEER = "what it stands on"
ROUNDS = 40

IMPORTS = {
    "nexus_actors.video": "import nexus_actors, nexus_actors.video",
    "what it stands on": "import dramatiq, pydantic",
    "nothing": "",
}


def cpu_ms(code: str) -> float:
    """Run *code* in a new interpreter; return the CPU time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - ours
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used * 1000


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:  # noqa: ARG001 - rounds scale
    """The library, what it stands on, and an interpreter that imports nothing."""
    yield {name: partial(cpu_ms, code) for name, code in IMPORTS.items()}
