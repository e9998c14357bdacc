"""Runs the services of deploy/compose.yaml as plain processes of this machine.

Commands, environment and health checks are the file's own.  What an image or Compose's
network would give is put in their place: a free port of 127.0.0.1 for each service's
own, a folder for each volume.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from conftest import ROOT, already_gone, until
from databases import make_key
from servers import free_port


DEPLOY: Final = ROOT / "deploy"

VARIABLE: Final = re.compile(r"\$\{(\w+)(?:(:?)([-?])([^}]*))?\}")

#: What a user must fill in, and what makes encoding quick.
FILLED: Final = {
    "NEXUS_SECRET_KEY": make_key(),
    "POSTGRES_PASSWORD": "pa55word",
    "GRAFANA_PASSWORD": "grafana",
    "DASHBOARD_PASSWORD": "dashboard",
    "FFMPEG_PRESET": "ultrafast",
}

#: Who reads and writes media; reports are stored, too.
STORES: Final = {"video-processor", "social-publisher", "analytics-aggregator"}

#: What the images set, as deploy/Dockerfile does.
IMAGE: Final = {"HEALTH_CHECK_HOST": "0.0.0.0", "TEMP_DIR": "/scratch"}


@cache
def documents(path: Path) -> tuple[Any, ...]:
    """Return what a YAML file says; it is read once, and not to be changed."""
    return tuple(YAML(typ="safe").load_all(path))


def services(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the services as Compose reads them with these variables.

    Raises:
        LookupError: One is missing that must be set; says which, as Compose does.
    """
    [found] = documents(DEPLOY / "compose.yaml")
    filled: dict[str, Any] = _filled(found["services"], environ)
    return filled


def _filled(value: Any, environ: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(item, environ) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, environ) for item in value]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        name, colon, how, rest = match.groups()
        if environ.get(name) or (name in environ and not colon):
            return environ[name]
        if how == "?":
            raise LookupError(f"{name}: {rest}")
        return rest or ""

    return VARIABLE.sub(fill, value)


@dataclass
class Container:
    """One process of a service, at a port of its own."""

    service: dict[str, Any]
    port: int
    process: subprocess.Popen[bytes]
    environ: dict[str, str]

    def stop(self) -> int:
        """Stop it as Compose does, within its grace; return its exit code."""
        self.process.terminate()
        return self.process.wait(int(self.service["stop_grace_period"].rstrip("s")))


@dataclass
class Machine:
    """Where the services run; *given* has what is there already, by its address."""

    folder: Path
    environ: dict[str, str]
    given: dict[str, str]
    running: dict[str, list[Container]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.services = services(self.environ)

    def start(self, name: str, *more: str) -> Container:
        """Start one process more of a service, with words added to its command."""
        service, port = self.services[name], free_port()
        exposed = self._exposed(name)
        own = {f"127.0.0.1:{exposed}": f"127.0.0.1:{port}", exposed: str(port)}
        environ = {
            key: self._here(value, own, name)
            for key, value in (IMAGE | service.get("environment", {})).items()
        }
        command = [self._here(word, own, name) for word in service["command"]]
        if command[0].startswith("-"):  # for the image's own program
            command.insert(0, re.split("[/:]", service["image"])[-2])
        number = len(self.running.get(name, []))
        with (self.folder / f"{name}-{number}.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, *(word.format(port=port) for word in more)],
                env=self._with_path() | environ,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        container = Container(service, port, process, environ)
        self.running.setdefault(name, []).append(container)
        self.given.setdefault(f"{name}:{exposed}", f"127.0.0.1:{port}")
        return container

    def is_well(self, container: Container) -> bool:
        """Ask by the service's own health check."""
        exposed = container.service["healthcheck"]["test"]
        port = str(container.port)
        test = [re.sub(r"(127.0.0.1):\d+", rf"\1:{port}", word) for word in exposed]
        if test[0] == "CMD-SHELL":  # redis-cli has no variable for it
            test = [
                "",
                "sh",
                "-c",
                test[1].replace("redis-cli", f"redis-cli -p {port}"),
            ]
        done = subprocess.run(
            test[1:],
            env=self._with_path() | container.environ,
            cwd=self.folder,
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def wait_for(self, container: Container) -> None:
        """Wait until it is healthy; what listens nowhere yet is not asked."""

        def listens() -> bool:
            assert container.process.poll() is None, self.log()
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", container.port), 1).close()
                return True
            return False

        until(listens, 120)
        until(lambda: self.is_well(container), 120)

    def finish(self, name: str) -> None:
        """Run a service that does its work and ends."""
        assert self.start(name).process.wait(60) == 0, self.log()

    def execute(self, container: Container, *command: str) -> str:
        """Do what `docker compose exec` does; return what is printed."""
        done = subprocess.run(
            command,
            env=self._with_path() | container.environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr + self.log()
        return done.stdout

    def log(self) -> str:
        """Return the end of each log."""
        files = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {f.name}\n{f.read_text()[-2000:]}" for f in files)

    def close(self) -> None:
        """End all that still runs."""
        for container in (each for many in self.running.values() for each in many):
            with already_gone():
                os.killpg(container.process.pid, signal.SIGTERM)
        for container in (each for many in self.running.values() for each in many):
            try:
                container.process.wait(20)
            except subprocess.TimeoutExpired:
                with already_gone():
                    os.killpg(container.process.pid, signal.SIGKILL)
                container.process.wait()

    def _with_path(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"PATH": path} | {"PGHOST": self.given.get("PGHOST", "")}

    def _exposed(self, name: str) -> str:
        service = self.services[name]
        ports = [*service.get("expose", []), *service.get("ports", ["none"])]
        return str(ports[0]).rpartition(":")[2]

    def _here(self, text: str, own: dict[str, str], name: str) -> str:
        """Return *text* with the addresses and folders of this machine."""
        if text in own:
            return own[text]
        for there, here in (self.given | own).items():
            text = text.replace(there, here) if ":" in there else text
        option, equals, path = text.rpartition("=")
        for volume in self.services[name].get("volumes", ["own:/scratch"]):
            source, target = volume.removesuffix(":ro").split(":")
            if path == target:
                return f"{option}{equals}{self._folder(source, name)}"
        return text

    def _folder(self, source: str, name: str) -> Path:
        if source.startswith("/"):
            return Path(source)
        folder = self.folder / (f"own-{name}" if source == "own" else source)
        folder.mkdir(exist_ok=True)
        return folder


def has(program: str) -> bool:
    return shutil.which(program) is not None
