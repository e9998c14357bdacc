"""What a child process may take: one that takes too much ends alone."""

from __future__ import annotations

import shutil
import subprocess
from functools import lru_cache


#: Of all processes, Linux ends those with this mark first when memory runs out.
FIRST_TO_END = "1000"


@lru_cache(maxsize=4)
def fence(memory_bytes: int | None = None, nice: int = 0) -> tuple[str, ...]:
    """Return what to put before a command so that it cannot take the worker along.

    When memory runs out, Linux ends it instead of the worker; with *memory_bytes*, it
    gets no more than that.  With *nice*, from 1 to 19, it gets of the processors what
    others leave.  What the system has no such thing for, as macOS, is left out.
    """
    words: tuple[str, ...] = ()
    for name, *options in (
        *([("nice", "-n", str(nice))] if nice else ()),
        ("choom", "-n", FIRST_TO_END),
        *([("prlimit", f"--data={memory_bytes}")] if memory_bytes else ()),
    ):
        program = shutil.which(name)
        if program and _works((program, *options, "--")):
            words = (*words, program, *options, "--")
    return words


def _works(words: tuple[str, ...]) -> bool:
    """Tell whether a program does what it is asked: BusyBox has others of the name."""
    return not subprocess.run(  # noqa: S603 - our own words
        [*words, "true"], capture_output=True, check=False
    ).returncode
