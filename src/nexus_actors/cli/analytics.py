"""``analytics``: collect figures, roll them up, and hand them on as CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

import click

from nexus_actors.core import clock

from .common import log_to_stderr, print_json


#: A spreadsheet would take what begins so for a formula.
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

#: How far back is exported by default.
SPAN: Final = timedelta(days=30)

date = click.DateTime(["%Y-%m-%d"])


@click.group()
def analytics() -> None:
    """Collect figures of posts, roll them up, and export them."""
    log_to_stderr()


@analytics.command()
@click.argument("platform")
@click.option("--account", help="A connected account.")
@click.option(
    "--access-token",
    envvar="NEXUS_ACCESS_TOKEN",
    help="In its place; better by the variable, which no other user sees.",
    show_envvar=True,
)
@click.option("--post", "posts", multiple=True, help="Its id; by default, all.")
@click.option("--time-zone", help="Of the account's days, such as Europe/Berlin.")
@click.option("--days", is_flag=True, help="Also what the platform says of last days.")
@click.option(
    "--watch/--no-watch",
    default=None,
    help="Read a connected account by itself from now on, or no more.",
)
def collect(  # noqa: PLR0913 - one for each option
    platform: str,
    *,
    account: str | None,
    access_token: str | None,
    posts: tuple[str, ...],
    time_zone: str | None,
    days: bool,
    watch: bool | None,
) -> None:
    """Read the figures of an account's posts now, and keep them."""
    from nexus_actors.analytics import collect_metrics

    given: dict[str, Any] = {"account": account, "time_zone": time_zone}
    given |= {"days": days, "watch": watch}
    if account is None:
        given["access_token"] = access_token
    print_json(collect_metrics(platform=platform, post_ids=list(posts), **given))


@analytics.command()
@click.option("--platform", help="With --account: only that one.")
@click.option("--account")
@click.option("--rebuild", is_flag=True, help="Not just what has changed.")
def rollup(platform: str | None, account: str | None, *, rebuild: bool) -> None:
    """Work out days and weeks."""
    from nexus_actors.analytics import aggregate_metrics

    print_json(aggregate_metrics(platform=platform, account=account, rebuild=rebuild))


@analytics.command()
@click.argument("what", type=click.Choice(["days", "weeks", "posts", "reported"]))
@click.argument("platform")
@click.option("--account", required=True, help="As `collect` has told it.")
@click.option("--since", type=date, help="The first day; by default 30 days ago.")
@click.option("--until", type=date, help="The last day; by default today.")
def export(
    what: str,
    platform: str,
    account: str,
    since: datetime | None,
    until: datetime | None,
) -> None:
    """Print as CSV an account's days, weeks or posts, or what the platform reported."""
    from nexus_actors.analytics import Figures
    from nexus_actors.core.settings import CoreSettings
    from nexus_actors.platforms.vault import open_database

    figures = Figures(open_database(CoreSettings.load()))
    today = clock.now()
    first, last = (since or today - SPAN).date(), (until or today).date()
    if what == "posts":
        _write(_posts(figures, platform, account))
    elif what == "days":
        _write(_rows(figures.days(platform, account, since=first, until=last)))
    elif what == "reported":
        _write(_rows(figures.reported(platform, account, since=first, until=last)))
    else:
        _write(_rows(figures.weeks(platform, account, since=first, until=last)))


def _posts(figures: Any, platform: str, account: str) -> Iterable[dict[str, Any]]:
    """Yield a row for each post; what is not known is empty, and never 0."""
    from nexus_actors.analytics import Base, State, rate
    from nexus_actors.analytics.metrics import COLUMNS

    for post in figures.posts(platform, account):
        values = {name: post.values[name] for name in COLUMNS}
        known = {n: None if isinstance(v, State) else v for n, v in values.items()}
        rates = {
            f"engagement_by_{base}": rate(
                post.values, base, followers=post.followers
            ).value
            for base in Base
        }
        yield {
            "id": post.id,
            "published_at": post.published_at and post.published_at.isoformat(),
            "collected_at": post.collected_at.isoformat(),
            "gone": post.gone,
            **known,
            "followers": post.followers,
            **rates,
        }


def _rows(found: Iterable[Any]) -> Iterable[dict[str, Any]]:
    for row in found:
        yield {name: getattr(row, name) for name in row.__dataclass_fields__}


def _write(rows: Iterable[dict[str, Any]]) -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    for number, row in enumerate(rows):
        if not number:
            out.writerow(row)
        out.writerow([_cell(value) for value in row.values()])


def _cell(value: Any) -> Any:
    if isinstance(value, Enum):
        return None  # why there is no figure
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value
