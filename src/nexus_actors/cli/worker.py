"""``worker``: the dramatiq command with sane processes and threads, supervised."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import click

from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.logs import configure
from nexus_actors.engine.slots import default_slots
from nexus_actors.engine.supervisor import Supervisor, dramatiq_command

from .common import queue


#: Jobs that wait for a vendor, and may run beside the encodes.
BESIDE: Final = 4


def threads_for(domains: Sequence[str]) -> int:
    """Return how many threads suit a worker of *domains*, or of all.

    Encodes have as many as there are slots for them; a mail must not wait for one.
    """
    return default_slots() + (0 if [*domains] == ["video"] else BESIDE)


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
        chosen = domains or tuple((settings.domains or "").split(","))
        threads = threads or settings.worker_concurrency or threads_for(chosen)
        command = dramatiq_command("nexus_actors.worker", threads=threads)
        return Supervisor([command] * processes).run()
