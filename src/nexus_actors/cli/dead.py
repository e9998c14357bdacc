"""``dead``: the messages that have failed for good."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from nexus_actors.core import clock

from .common import limit as limit_option
from .common import print_json, queue, read_time


if TYPE_CHECKING:
    from nexus_actors.engine.dead_letters import Selection


F = TypeVar("F", bound=Callable[..., Any])

#: What an age is written in.
UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

FILTERS: Final = (
    click.option("--queue", "queue_name", metavar="NAME", help="Of this queue."),
    click.option("--actor", metavar="NAME", help="For this actor."),
    click.option("--reason", metavar="WORD", help="That died of this, such as poison."),
    click.option("--error", metavar="NAME", help="With this type or code of error."),
    click.option("--since", metavar="TIME|AGE", help="Died then or later."),
    click.option("--before", metavar="TIME|AGE", help="Died earlier."),
)


def filters(command: F) -> F:
    """Give *command* the options that say which dead letters are meant."""
    for option in reversed(FILTERS):
        command = option(command)
    return command


@click.group()
def dead() -> None:
    """List, show, requeue or purge what has failed for good.

    TIME is as 2030-01-31T18:00:00+01:00, AGE as 90m, 36h or 7d.
    """


@dead.command("list")
@filters
@limit_option
@click.option("--after", metavar="CURSOR", help="Go on after this one of the list.")
def list_(limit: int, after: str | None, **chosen: Any) -> None:
    """Show dead letters, the newest first, one on a line."""
    from nexus_actors.engine import dead_letters

    selection = _selection((), **chosen)
    with queue():
        for letter in dead_letters.find(selection, limit=limit, after=after):
            print_json(letter.to_json(whole=False))


@dead.command()
@click.argument("letter_id", metavar="ID")
@click.option("--queue", "queue_name", metavar="NAME", help="Of this queue.")
def show(letter_id: str, queue_name: str | None) -> int:
    """Show all of dead letter ID but its secrets."""
    from nexus_actors.engine import dead_letters

    with queue():
        letter = dead_letters.get(letter_id, queue=queue_name)
    if letter is None:
        click.echo(f"error: there is no dead letter {letter_id!r}", err=True)
        return 1
    print_json(letter.to_json())
    return 0


@dead.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@filters
@click.option("--all", "all_", is_flag=True, help="All of them.")
def requeue(ids: tuple[str, ...], *, all_: bool, **chosen: Any) -> int:
    """Run dead letters again: those named, or chosen by options."""
    from nexus_actors.engine import dead_letters

    selection = _few(ids, all_=all_, **chosen)
    with queue():
        done = dead_letters.requeue(selection)
    print_json({"requeued": done.requeued, "left": done.left})
    return _code(ids, done.requeued)


@dead.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@filters
@click.option("--all", "all_", is_flag=True, help="All of them.")
def purge(ids: tuple[str, ...], *, all_: bool, **chosen: Any) -> int:
    """Delete dead letters: those named, or chosen by options."""
    from nexus_actors.engine import dead_letters

    selection = _few(ids, all_=all_, **chosen)
    with queue():
        count = dead_letters.purge(selection)
    print_json({"purged": count})
    return _code(ids, count)


def _code(ids: tuple[str, ...], done: int) -> int:
    """Return the exit code: of what is named, all must be there."""
    missing = len(set(ids)) - done
    if missing > 0:
        click.echo(f"error: {missing} of those named were left or not there", err=True)
    return int(missing > 0)


def _few(ids: tuple[str, ...], *, all_: bool, **chosen: Any) -> Selection:
    """Return the selection; what would mean all must be told to."""
    selection = _selection(ids, **chosen)
    is_all = not ids and not any(chosen.values())
    if is_all != all_:
        raise click.UsageError("name ids, or give options that choose, or --all alone")
    return selection


def _selection(  # noqa: PLR0913 - one for each option
    ids: tuple[str, ...],
    *,
    queue_name: str | None,
    actor: str | None,
    reason: str | None,
    error: str | None,
    since: str | None,
    before: str | None,
) -> Selection:
    from nexus_actors.engine.dead_letters import Selection

    return Selection(
        ids=ids,
        queue=queue_name,
        actor=actor,
        reason=reason,
        error=error,
        since=_instant(since, "--since"),
        before=_instant(before, "--before"),
    )


def _instant(text: str | None, option: str) -> datetime | None:
    """Parse a time, or an age: how long ago."""
    if text is None:
        return None
    age = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if age:
        with suppress(OverflowError):  # before the year 1
            return clock.now() - timedelta(**{UNITS[age[2]]: int(age[1])})
    return read_time(text, option)
