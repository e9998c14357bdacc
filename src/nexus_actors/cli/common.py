"""What several commands share: the queue in use, and how progress is shown."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from nexus_actors.core.logs import configure
from nexus_actors.core.settings import CoreSettings


#: Any of these says which Redis to use.
REDIS_FIELDS = {"redis_url", "redis_host", "redis_port", "redis_password", "redis_db"}


#: How many rows a list prints.
limit = click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True
)


@contextmanager
def queue() -> Iterator[CoreSettings]:
    """Make sure that there is a Redis: the one that is set, else an embedded one."""
    settings = CoreSettings.load()
    if REDIS_FIELDS & settings.model_fields_set:
        yield settings
        return
    from nexus_actors.engine.embedded_redis import embedded_redis

    with embedded_redis() as server:
        how = "started" if server.process else "joined"
        click.echo(f"REDIS_URL is not set: {how} an embedded Redis", err=True)
        os.environ["NEXUS_REDIS_URL"] = server.url  # for the processes we start, too
        yield CoreSettings.load()


def log_to_stderr() -> None:
    """Send warnings to stderr, and nothing else: stdout is for results."""
    configure("WARNING", "console")


def print_json(value: Any) -> None:
    """Print a command's result, readable on a terminal and on one line in a pipe."""
    if sys.stdout.isatty():
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
    else:  # ASCII: a file's name may hold what no encoding can print
        click.echo(json.dumps(value))


def read_time(text: str, option: str) -> datetime:
    """Parse a time in ISO 8601 with a zone."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise click.UsageError(
            f"{option}: {text!r} is no time with a zone, such as "
            "2030-01-31T18:00:00+01:00"
        )
    return instant


@dataclass(slots=True)
class ProgressLine:
    """One line on stderr that tells how far a job is: redrawn only on a terminal."""

    drawn: bool = False
    last: str = ""

    def show(self, stage: str, fraction: float | None, eta_s: float | None) -> None:
        """Show the state; does nothing where stderr is no terminal."""
        if not sys.stderr.isatty():
            return
        columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
        width = max(4, min(28, columns - 24))
        filled = round((fraction or 0) * width)
        bar = "█" * filled + "░" * (width - filled)
        percent = "  ?" if fraction is None else f"{fraction:4.0%}"
        eta = "" if eta_s is None else f"  {eta_s:.0f} s left"
        text = f"{bar} {percent}  {stage}{eta}"
        line = f"\r\x1b[K{text[: columns - 1]}"  # what wraps cannot be drawn over
        if line != self.last:
            click.echo(line, err=True, nl=False)
            self.drawn, self.last = True, line

    def clear(self) -> None:
        """Take the line away."""
        if self.drawn:
            click.echo("\r\x1b[K", err=True, nl=False)
            self.drawn = False
