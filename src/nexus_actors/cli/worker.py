"""``worker``: the dramatiq command with sane processes and threads, supervised."""

from __future__ import annotations

import os

import click

from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.logs import configure
from nexus_actors.engine.slots import default_slots
from nexus_actors.engine.supervisor import Supervisor, dramatiq_command

from .common import queue


@click.command()
@click.argument("domains", nargs=-1)
@click.option("--processes", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--threads", type=click.IntRange(1, 1024), help="Of each process.")
def worker(domains: tuple[str, ...], *, processes: int, threads: int | None) -> int:
    """Run the jobs of DOMAINS, or of all."""
    from nexus_actors.app import DOMAINS

    unknown = [name for name in domains if name not in DOMAINS]
    if unknown:
        raise ConfigurationError(
            f"no domain {unknown[0]!r}; known: {', '.join(sorted(DOMAINS))}"
        )
    with queue() as settings:
        configure(settings.log_level, settings.log_format, env=settings.env)
        if domains:
            os.environ["NEXUS_DOMAINS"] = ",".join(domains)
        threads = threads or settings.worker_concurrency or default_slots()
        command = dramatiq_command("nexus_actors.worker", threads=threads)
        return Supervisor([command] * processes).run()
