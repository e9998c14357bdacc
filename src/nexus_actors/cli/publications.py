"""``publications``: what has become of posts, and what a person can do about it."""

from __future__ import annotations

import click

from .common import limit as limit_option
from .common import log_to_stderr, print_json, queue


@click.group()
def publications() -> None:
    """List, show, retry and settle posts on platforms."""
    log_to_stderr()


@publications.command("list")
@click.option("--state", help="Only those in this state, such as unconfirmed.")
@click.option("--platform", help="Only those on this platform.")
@click.option("--account", help="Only those of this account.")
@limit_option
def list_publications(
    state: str | None, platform: str | None, account: str | None, limit: int
) -> None:
    """List the newest publications."""
    from nexus_actors.social.desk import Desk
    from nexus_actors.social.row import State

    try:
        wanted = State(state) if state else None
    except ValueError:
        known = ", ".join(State)
        raise click.BadParameter(f"{state!r} is no state; known: {known}") from None
    found = Desk.open().table.newest(
        state=wanted, platform=platform, account=account, limit=limit
    )
    print_json([row.to_json() for row in found])


@publications.command()
@click.argument("publication")
def show(publication: str) -> None:
    """Show all that is known of one, by its id or its idempotency key."""
    from nexus_actors.social.desk import Desk

    print_json(Desk.open().table.get(publication).to_json())


@publications.command()
@click.argument("publication")
def retry(publication: str) -> None:
    """Try one again that has failed, is held, or is parked."""
    from nexus_actors.social.control import retry as again

    with queue():
        print_json(again(publication))


@publications.command()
@click.argument("publication")
@click.option("--published", "outcome", flag_value="published", help="It is there.")
@click.option("--not-published", "outcome", flag_value="not", help="It is not there.")
@click.option("--remote-id", help="The platform's id of the post, if it is there.")
def settle(publication: str, outcome: str | None, remote_id: str | None) -> None:
    """Say what you have seen of a post whose outcome was unknown."""
    from nexus_actors.social.control import settle as note

    if outcome is None:
        raise click.UsageError("say --published or --not-published")
    if remote_id is not None and outcome != "published":
        raise click.UsageError("--remote-id is of a post that is there: --published")
    with queue():
        told = note(publication, published=outcome == "published", remote_id=remote_id)
    print_json(told)
