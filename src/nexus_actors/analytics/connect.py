"""The one place where settings, accounts, collectors and the database meet."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from nexus_actors.core import clock
from nexus_actors.core.database import Database
from nexus_actors.core.errors import ConfigurationError, MissingExtraError
from nexus_actors.core.logs import get_logger
from nexus_actors.core.settings import CoreSettings
from nexus_actors.engine import jobs
from nexus_actors.platforms.settings import PlatformSettings
from nexus_actors.platforms.vault import open_database, open_token, open_tokens

from .base import Access, Collector, collectors
from .models import (
    AggregateMetricsResult,
    CollectMetricsRequest,
    CollectMetricsResult,
    SweepSnapshotsResult,
)
from .settings import AnalyticsSettings
from .snapshots import Owner, Snapshots


log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Round:
    """One reading of an account's posts; *remote* is the platform's id of it."""

    collector: Collector
    access: Access
    snapshots: Snapshots
    owner: Owner
    remote: str

    def named(self, ids: tuple[str, ...]) -> tuple[int, list[str]]:
        """Read posts by their ids; return how many there are, and which are not."""
        count = 0
        missing: list[str] = []
        for at in range(0, len(ids), self.collector.batch):
            self.access.stop()
            part, now = ids[at : at + self.collector.batch], clock.now()
            posts = self.collector.read_posts(self.access, part)
            gone = sorted({*part} - {post.id for post in posts})
            self.snapshots.write(self.owner, posts, at=now, gone=gone)
            count, missing = count + len(posts), missing + gone
        return count, missing

    def listed(self, days: int) -> int:
        """Read all posts that are not older than so many days; return how many."""
        oldest = clock.now() - timedelta(days=days)
        count, cursor = 0, None
        while True:
            self.access.stop()
            now = clock.now()
            page = self.collector.list_posts(self.access, self.remote, cursor)
            new = [
                p for p in page.posts if not p.published_at or p.published_at >= oldest
            ]
            self.snapshots.write(self.owner, new, at=now)
            count += len(new)
            if page.cursor is None or len(new) < len(page.posts):
                return count
            cursor = page.cursor


def collect(body: dict[str, Any]) -> dict[str, Any]:
    """Read figures and keep them; return what was read."""
    request = CollectMetricsRequest.parse(body, what="collect_metrics")
    _need_extra()
    core, settings = CoreSettings.load(), AnalyticsSettings.load()
    collector = collectors.get(request.platform)()
    database = open_database(core)
    access = _access(request, collector, core, database)
    at = clock.now()
    found, reading = collector.read_account(access)
    snapshots = Snapshots(database)
    owner = snapshots.owner(
        request.platform, request.account or found, time_zone=request.time_zone
    )
    snapshots.write_account(owner, reading, at=at)
    one = _Round(collector, access, snapshots, owner, found)
    missing: list[str] = []
    if ids := tuple(dict.fromkeys(request.ids())):
        count, missing = one.named(ids)
    else:
        count = one.listed(settings.listed_days)
    log.info("analytics.collected", platform=owner.platform, posts=count)
    return CollectMetricsResult(
        platform=owner.platform,
        account=owner.account,
        posts=count,
        missing=tuple(missing),
    ).to_json()


def aggregate(
    period: Literal["day", "week"],
    platform: str | None,
    account: str | None,
    *,
    rebuild: bool,
) -> dict[str, Any]:
    """Work out days and weeks; tell how much that was."""
    _need_extra()
    from .figures import Figures
    from .rollups import Rollups

    database = open_database(CoreSettings.load())
    number = None
    if platform is not None and account is not None:
        number = Figures(database).number(platform, account)
    rollups = Rollups(database, stop=jobs.current().check)
    work = rollups.rebuild if rebuild else rollups.roll
    done = work(account=number)
    log.info("analytics.aggregated", period=period, posts=done.posts, days=done.days)
    return AggregateMetricsResult(
        posts=done.posts, days=done.days, accounts=done.accounts
    ).to_json()


def sweep() -> dict[str, Any]:
    """Thin out old snapshots; tell how many."""
    settings = AnalyticsSettings.load()
    try:
        _need_extra()
        with closing(Database.open(CoreSettings.load())) as found:
            path = found.path
        if path is not None and not path.exists():
            return SweepSnapshotsResult(skipped="there is no database yet").to_json()
        database = open_database(CoreSettings.load())
    except ConfigurationError as error:  # most workers collect nothing
        log.info("analytics.sweep_skipped", reason=error.message)
        return SweepSnapshotsResult(skipped=error.message).to_json()
    from .retention import thin

    deleted = thin(database, settings.kept_days, stop=jobs.current().check)
    return SweepSnapshotsResult(deleted=deleted).to_json()


def _need_extra() -> None:
    """Refuse to begin without what the domain stands on.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import numpy  # noqa: F401, ICN001 - said here, where there is nothing half done
    except ImportError as error:
        raise MissingExtraError("the analytics domain", "analytics") from error


def _access(
    request: CollectMetricsRequest,
    collector: Collector,
    core: CoreSettings,
    database: Database,
) -> Access:
    """Return what acts for the account.

    Raises:
        AuthorizationError: Its token is not good, and only its owner can help.
    """
    platforms, stop = PlatformSettings.load(), jobs.current().check
    if request.account is None:
        assert request.access_token is not None  # noqa: S101 - the model sees to it
        token = open_token(request.access_token)
        return Access(
            make_client=collector.make_client,
            platforms=platforms,
            token=token,
            stop=stop,
        )
    platform, account = request.platform, request.account
    tokens = open_tokens(core, database, platforms)

    def renew(rejected: str) -> str:
        return tokens.token_of(tokens.renew(platform, account, rejected=rejected))

    return Access(
        make_client=collector.make_client,
        platforms=platforms,
        token=tokens.token_of(tokens.usable(platform, account)),
        renew=renew,
        stop=stop,
    )
