"""``queues``: what waits and runs, and pausing it."""

from __future__ import annotations

import click

from .common import print_json, queue


@click.group(invoke_without_command=True)
@click.pass_context
def queues(context: click.Context) -> None:
    """Show all queues, one on a line; or pause or resume one."""
    from nexus_actors.engine.queues import state

    if context.invoked_subcommand:
        return
    with queue():
        for each in state():
            print_json(each.to_json())


@queues.command()
@click.argument("name")
def pause(name: str) -> int:
    """Let workers take nothing more from queue NAME; what runs goes on."""
    return _set_paused(name, pauses=True)


@queues.command()
@click.argument("name")
def resume(name: str) -> int:
    """Let workers take from queue NAME again."""
    return _set_paused(name, pauses=False)


def _set_paused(name: str, *, pauses: bool) -> int:
    from nexus_actors.app import actors_of
    from nexus_actors.engine import queues as engine

    with queue():
        known = {each.name for each in engine.state()}
        known |= {actor.queue_name for actor in actors_of()}
        if name not in known:
            raise click.UsageError(
                f"no queue {name!r}; known: {', '.join(sorted(known))}"
            )
        changed = engine.pause(name) if pauses else engine.resume(name)
    print_json({"queue": name, "paused": pauses, "changed": changed})
    return 0
