"""Runs the code blocks of a page, from top to bottom, in a folder of the page's own.

A block with a caption is written to that file.  ``python`` is run as a script;
``console`` are commands after ``$``, with what they print (``…`` stands for anything);
``json``, ``toml``, ``yaml`` and ``ini`` are parsed; the metrics of ``promql`` must be
there.  ``sh`` is for the reader's own machine, since it installs, deploys or asks for
what no test has: it is checked by `shells` and not run.  ``text`` is output, or a
drawing.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML

from conftest import until
from shells import FOREIGN, OURS, check_shell, known_metrics


#: Commands that run until they are stopped: on the page, in a terminal of their own.
SERVERS: Final = (
    *("dramatiq ", "nexus-actors dashboard", "nexus-actors worker"),
    *("nexus-actors sandbox", "python -m http.server", "uvicorn "),
    *("python manage.py follow", "python manage.py runserver"),
)

#: Where a server says that it will answer.
PORT: Final = re.compile(r"(?:--port|runserver) (\d+)")

#: A look at something that changes by itself: whoever reads looks again.
LOOK: Final = "curl -s http"

#: For how long, in seconds.
LOOKS_S: Final = 60

#: What Sphinx makes of a block, and nobody runs.
DIRECTIVES: Final = {
    "{toctree}",
    "{eval-rst}",
    "{glossary}",
    "{include} ../CHANGELOG.md",
}

#: How a line begins that belongs into a block of another kind than ``text``.
COMMAND: Final = re.compile(rf"(\$|{'|'.join(map(re.escape, (*OURS, *FOREIGN)))}) \S")

#: What the pages call the reader's Redis and the reader's video.
REDIS_URL: Final = "redis://127.0.0.1:6379/0"
VIDEO: Final = "/path/to/video.mp4"

FENCE: Final = re.compile(
    r"^```(?P<kind>[^\n]*)\n(?P<options>(?::\w+:[^\n]*\n)*)\n?(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; *caption* is the name of the file that it is."""

    kind: str
    caption: str
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        kind = match["kind"].removeprefix("{code-block}").strip()
        caption = re.search(r":caption: (\S+)", match["options"])
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(kind, caption[1] if caption else "", match["text"], line))
    return found


@dataclass(slots=True)
class Reader:
    """Somebody who does what a page says.

    Attributes:
        own: What stands here in place of what the page calls something, by that.
    """

    folder: Path
    environ: dict[str, str]
    video: Path
    own: dict[str, str] = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def do(self, block: Block) -> None:
        """Run one block, or fail."""
        if block.caption:
            target = self.folder / block.caption
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(self._with_own(block.text), encoding="utf-8")
        elif block.kind == "python":
            (self.folder / "block.py").write_text(self._with_own(block.text))
            self.run("python block.py", block.line)
        elif block.kind == "console":
            for command, expected in commands_of(block.text):
                own = self._with_own
                self._command(own(command), own(expected), block)
        else:
            check(block)

    def _with_own(self, text: str) -> str:
        own = {VIDEO: str(self.video)} | self.own
        if "REDIS_URL" in self.environ:
            own[REDIS_URL] = self.environ["REDIS_URL"]
        for theirs, ours in own.items():
            text = text.replace(theirs, ours)
        return text

    def _command(self, command: str, expected: str, block: Block) -> None:
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self.environ[name] = shlex.split(value)[0]
        elif command.startswith(SERVERS):
            self._start(command)
        else:
            ends = time.monotonic() + LOOKS_S * command.startswith(LOOK)
            said = self.run(command, block.line)
            while (
                not (found := like(expected).search(said)) and time.monotonic() < ends
            ):
                time.sleep(0.2)
                said = self.run(command, block.line)
            assert found, f"line {block.line}: {command}\n{said}"

    def run(self, command: str, line: int = 0) -> str:
        """Run *command* in a shell that knows the variables of those before."""
        script = f". ./.variables; set -a; {command}\ncode=$?; export -p >.variables"
        (self.folder / ".variables").touch()
        done = subprocess.run(
            ["bash", "-c", f"{script}; exit $code"],
            env=self.environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = f"line {line}: {command}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, said
        self.printed.append(done.stdout)
        return done.stdout

    def _start(self, command: str) -> None:
        (self.folder / ".variables").touch()
        with (self.folder / f"server-{len(self.servers)}.log").open("wb") as log:
            self.servers.append(
                subprocess.Popen(
                    ["bash", "-c", f". ./.variables; exec {command}"],
                    env=self.environ,
                    cwd=self.folder,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )
        if port := PORT.search(command):
            until(lambda: is_open(int(port[1])))

    def close(self) -> None:
        """Stop what still runs: politely, since a supervisor stops its own."""
        for server in self.servers:
            server.terminate()
        for server in self.servers:
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def is_open(port: int) -> bool:
    """Tell whether a server of this machine answers there."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def check(block: Block) -> None:
    """Check a block that is not run, or fail: one of an unknown kind does."""
    if block.kind == "json":
        json.loads(block.text)
    elif block.kind == "toml":
        tomllib.loads(block.text)
    elif block.kind == "ini":
        configparser.ConfigParser(strict=False).read_string(block.text)
    elif block.kind == "yaml":
        YAML(typ="safe").load(block.text)
    elif block.kind == "promql":
        named = set(re.findall(r"nexus_\w+", block.text))
        assert named, f"line {block.line}: no metric of ours"
        assert named <= known_metrics(), f"line {block.line}: {named}"
    elif block.kind == "sh":
        check_shell(block.text, line=block.line)
    elif block.kind == "text":
        lines = block.text.splitlines()
        runnable = [line for line in lines if COMMAND.match(line)]
        assert not runnable, (
            f"line {block.line}: neither output nor drawing: {runnable}"
        )
    else:
        assert block.kind in DIRECTIVES, (
            f"line {block.line}: nobody runs {block.kind!r}"
        )


def commands_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command with what it is said to print."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        length = 1 + next(n for n, line in enumerate(lines) if not line.endswith("\\"))
        yield "\n".join(lines[:length]), "\n".join(lines[length:]).strip()


def like(expected: str) -> re.Pattern[str]:
    """Return what matches *expected*: lines in this order, others may stand between."""
    lines = [
        ".*".join(re.escape(part) for part in line.strip().split("…"))
        for line in expected.splitlines()
    ]
    return re.compile(r"(?s:.*?)".join(lines))
