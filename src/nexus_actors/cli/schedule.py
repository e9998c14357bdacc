"""``schedule``: what is to run later."""

from __future__ import annotations

import click

from .common import limit as limit_option
from .common import print_json, queue, read_time


@click.group()
def schedule() -> None:
    """List, cancel or move jobs that wait for their time."""


@schedule.command("list")
@limit_option
def list_(limit: int) -> None:
    """Show the jobs that are due next, one on a line."""
    from nexus_actors.engine.schedule import upcoming

    with queue():
        for job in upcoming(limit):
            print_json(job.to_json())


@schedule.command()
@click.argument("job_id")
def cancel(job_id: str) -> int:
    """Cancel job JOB_ID before it begins."""
    from nexus_actors.engine import schedule as jobs

    with queue():
        return _report(job_id, done=jobs.cancel(job_id), word="cancelled")


@schedule.command()
@click.argument("job_id")
@click.option("--due", required=True, metavar="TIME", help="ISO 8601, with a zone.")
def move(job_id: str, due: str) -> int:
    """Give job JOB_ID another time; one in the past means at once."""
    from nexus_actors.engine import schedule as jobs

    instant = read_time(due, "--due")
    with queue():
        return _report(job_id, done=jobs.move(job_id, instant), word="moved")


def _report(job_id: str, *, done: bool, word: str) -> int:
    if done:
        print_json({"job": job_id, word: True})
        return 0
    click.echo(
        f"error: job {job_id!r} does not wait for its time; nexus-actors job shows it",
        err=True,
    )
    return 1
