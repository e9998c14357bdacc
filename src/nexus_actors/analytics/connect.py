"""The one place where settings, accounts, collectors and the database meet."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from nexus_actors.core import clock
from nexus_actors.core.database import Database
from nexus_actors.core.errors import ConfigurationError, MissingExtraError
from nexus_actors.core.logs import get_logger
from nexus_actors.core.settings import CoreSettings
from nexus_actors.engine import events, jobs
from nexus_actors.platforms.settings import PlatformSettings
from nexus_actors.platforms.vault import open_database, open_token, open_tokens

from .base import Access, Collector, collectors
from .models import (
    AggregateMetricsResult,
    CollectMetricsRequest,
    CollectMetricsResult,
    DetectAnomaliesResult,
    SweepReportsResult,
    SweepSnapshotsResult,
)
from .settings import AnalyticsSettings
from .snapshots import Owner, Snapshots


log = get_logger(__name__)

#: What is told of an account that only its owner can mend; the social domain tells it,
#: too.
ACCOUNT_LOST: Final = "social.account_needs_reauthorization"


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


def detect(platform: str | None, account: str | None) -> dict[str, Any]:
    """Judge days and posts, and tell what is far from usual."""
    if platform is None and (why := _nothing_to_do()) is not None:
        return DetectAnomaliesResult(skipped=why).to_json()
    _need_extra()
    from .reporting import detect_all

    return detect_all(platform, account)


def report(body: dict[str, Any]) -> dict[str, Any]:
    """Make a report, store it, and tell of it."""
    _need_extra()
    from .reporting import generate

    return generate(body)


def sweep_plans() -> dict[str, Any]:
    """Send for the planned reports that are due."""
    if (why := _nothing_to_do()) is not None:
        return SweepReportsResult(skipped=why).to_json()
    from .reporting import sweep_plans as send_due

    return send_due()


def sweep() -> dict[str, Any]:
    """Thin out old snapshots; tell how many."""
    if (why := _nothing_to_do()) is not None:
        return SweepSnapshotsResult(skipped=why).to_json()
    from .retention import thin

    database, days = (
        open_database(CoreSettings.load()),
        AnalyticsSettings.load().kept_days,
    )
    deleted = thin(database, days, stop=jobs.current().check)
    return SweepSnapshotsResult(deleted=deleted).to_json()


def _nothing_to_do() -> str | None:
    """Return why a sweep has nothing to do: most workers collect nothing."""
    try:
        _need_extra()
        with closing(Database.open(CoreSettings.load())) as found:
            path = found.path
        if path is not None and not path.exists():
            return "there is no database yet"
        open_database(CoreSettings.load())
    except ConfigurationError as error:
        log.info("analytics.sweep_skipped", reason=error.message)
        return error.message
    return None


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
    tokens = open_tokens(core, database, platforms, _told_of_account)

    def renew(rejected: str) -> str:
        return tokens.token_of(tokens.renew(platform, account, rejected=rejected))

    return Access(
        make_client=collector.make_client,
        platforms=platforms,
        token=tokens.token_of(tokens.usable(platform, account)),
        renew=renew,
        stop=stop,
    )


def _told_of_account(platform: str, account: str, reason: str) -> None:
    told = {"platform": platform, "account": account, "reason": reason}
    events.emit(ACCOUNT_LOST, told)
