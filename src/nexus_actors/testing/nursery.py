"""Starts a function many times, each in a process of its own, in milliseconds.

A program that has imported the function's module, and has done nothing else, forks for
each start: what is imported is shared, and everything else is fresh.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self


@dataclass(slots=True)
class Child:
    """One start; the leader of a process group of its own."""

    pid: int
    _stream: Any
    returncode: int | None = None

    def poll(self, seconds: float) -> int | None:
        """Wait for its end, but no longer than *seconds*; return how it ended."""
        if (
            self.returncode is None
            and select.select([self._stream], [], [], seconds)[0]
        ):
            self.returncode = int(self._stream.readline())
        return self.returncode

    def wait(self) -> None:
        """Wait for its end."""
        if self.returncode is None:
            self.returncode = int(self._stream.readline())


class Nursery:
    """A context manager that starts the function *name* of *module*, one at a time."""

    def __init__(self, module: str, name: str, environ: Mapping[str, str]) -> None:
        self._program = subprocess.Popen(  # noqa: S603 - this very file
            [sys.executable, "-m", __name__, module, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **environ,
                "PYTHONPATH": os.pathsep.join(part for part in sys.path if part),
            },
            bufsize=0,
        )

    def start(self, folder: Path, environ: Mapping[str, str]) -> Child:
        """Start the function in *folder*, with *environ* as its environment."""
        assert self._program.stdin  # noqa: S101 - as was asked for
        assert self._program.stdout  # noqa: S101 - likewise
        asked = json.dumps({"folder": str(folder), "environ": dict(environ)})
        self._program.stdin.write(f"{asked}\n".encode())
        return Child(int(self._program.stdout.readline()), self._program.stdout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for stream in (self._program.stdin, self._program.stdout):
            if stream:
                stream.close()
        self._program.wait()


def serve(module: str, name: str) -> None:
    """Answer each line on stdin with a process id, and then with its exit code."""
    flow = getattr(import_module(module), name)
    tell = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what the flow prints is no answer of ours
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _be_born(flow, asked)
        tell.write(b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        tell.write(b"%d\n" % os.waitstatus_to_exitcode(status))


def _be_born(flow: Any, asked: dict[str, Any]) -> None:
    code = 1
    try:
        os.setsid()
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environ"])
        flow()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(bool(error.code))
    except BaseException as error:  # noqa: BLE001 - nothing may leave the child
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(*sys.argv[1:])
