"""``analytics``: collect figures, roll them up, judge them, and report."""

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
    """Collect figures of posts, judge them, report and export."""
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
@click.option("--platform", help="With --account: only that one.")
@click.option("--account")
@click.option("--since", type=date, help="The first day; by default 30 days ago.")
@click.option("--until", type=date, help="The last day; by default today.")
def anomalies(
    platform: str | None,
    account: str | None,
    since: datetime | None,
    until: datetime | None,
) -> None:
    """Judge what was not judged yet; print what is unusual."""
    from nexus_actors.analytics import detect_anomalies
    from nexus_actors.analytics.figures import Figures, known_accounts
    from nexus_actors.analytics.findings import Findings
    from nexus_actors.core.settings import CoreSettings
    from nexus_actors.platforms.vault import open_database

    done = detect_anomalies(platform=platform, account=account)
    if done["skipped"]:
        raise click.ClickException(done["skipped"])
    database = open_database(CoreSettings.load())
    today, found = clock.now(), []
    span = (since or today - SPAN).date(), (until or today).date()
    for name, owner in known_accounts(database):
        if account is None or (name, owner) == (platform, account):
            number = Figures(database).number(name, owner)
            found += [
                {"platform": name, "account": owner, **one.to_json()}
                for one in Findings(database).between(number, *span)
            ]
    print_json({"new": done["found"], "anomalies": found})


@analytics.command()
@click.argument(
    "period",
    type=click.Choice(["day", "week", "month", "custom", "daily", "weekly", "monthly"]),
    default="week",
)
@click.option(
    "--account",
    "accounts",
    multiple=True,
    help="As platform/account; several may be given. By default, all.",
)
@click.option(
    "--since", type=date, help="A day of it; by default, the last that ended."
)
@click.option("--until", type=date, help="The last day, of a custom period.")
@click.option("--user", "users", multiple=True, help="Who is told of it.")
@click.option("--title", help="What it is called.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["json", "html", "pdf"]),
    help="By default, all that can be made here.",
)
def report(  # noqa: PLR0913, PLR0917 - each an option
    period: str,
    accounts: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    users: tuple[str, ...],
    title: str | None,
    formats: tuple[str, ...],
) -> None:
    """Make a report of a day, a week, a month, or other days."""
    from nexus_actors.analytics import generate_report

    print_json(
        generate_report(
            period=period,
            accounts=list(accounts),
            since=since.date().isoformat() if since else None,
            until=until.date().isoformat() if until else None,
            users=list(users),
            title=title,
            formats=list(formats),
        )
    )


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
    """Print figures of an account as CSV.

    Its days, weeks or posts as worked out here, or what the platform reported.
    """
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
