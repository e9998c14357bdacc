"""The one place where settings, accounts, collectors and the database meet."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, Self

from nexus_actors.core import clock
from nexus_actors.core.database import Database
from nexus_actors.core.errors import (
    ConfigurationError,
    MissingExtraError,
    NexusError,
    PermanentError,
    Postponed,
)
from nexus_actors.core.logs import get_logger
from nexus_actors.core.settings import CoreSettings
from nexus_actors.engine import jobs
from nexus_actors.platforms.gate import Gate, unnamed
from nexus_actors.platforms.settings import PlatformSettings
from nexus_actors.platforms.vault import (
    MessageToken,
    open_database,
    open_token,
    open_tokens,
)

from .base import Access, Collector, collectors
from .collecting import Round
from .models import (
    AggregateMetricsResult,
    CollectDueResult,
    CollectMetricsRequest,
    CollectMetricsResult,
    DetectAnomaliesResult,
    SweepCollectionsResult,
    SweepReportsResult,
    SweepSnapshotsResult,
)
from .settings import AnalyticsSettings
from .snapshots import Snapshots
from .watching import (
    ALONG_MS,
    DAYS_MS,
    FAILED_MS,
    LIST_MS,
    LOST_MS,
    Watched,
    Watching,
)


log = get_logger(__name__)


def collect(body: dict[str, Any]) -> dict[str, Any]:
    """Read figures and keep them; return what was read."""
    request = CollectMetricsRequest.parse(body, what="collect_metrics")
    desk = _Desk.open()
    one = desk.begin(
        request.platform,
        account=request.account,
        token=request.access_token,
        time_zone=request.time_zone,
    )
    missing: list[str] = []
    try:
        if ids := tuple(dict.fromkeys(request.ids())):
            count, missing = one.named(ids)
        else:
            count = one.listed(desk.settings.listed_days)
        days = one.days(first=False) if request.days else 0
    finally:
        one.note()
    one.close()
    owner = one.owner
    if request.watch is not None:
        desk.watching.watch(owner.id, on=request.watch)
        _send_due(owner.id, clock.now_ms() if request.watch else None)
    log.info("analytics.collected", platform=owner.platform, posts=count)
    return CollectMetricsResult(
        platform=owner.platform,
        account=owner.account,
        posts=count,
        days=days,
        missing=tuple(missing),
    ).to_json()


def collect_due(account: int) -> dict[str, Any]:
    """Read what is due of an account, if it is, and nobody else does; tell how much."""
    desk = _Desk.open()
    claim = desk.watching.claim(account)
    if claim is None:
        return CollectDueResult(skipped="it is not due, or another reads it").to_json()
    try:
        posts, days = _read_due(desk, claim)
    except NexusError as error:
        desk.watching.release(claim, due_ms=_tried_again_ms(error))
        raise
    later = desk.watching.next_ms(claim)
    desk.watching.release(claim, due_ms=later)
    _send_due(account, later)
    log.info("analytics.collected", platform=claim.platform, posts=posts)
    return CollectDueResult(posts=posts, days=days).to_json()


def _tried_again_ms(error: NexusError) -> int:
    """Return when an account is due that could not be read."""
    if isinstance(error, Postponed):
        return clock.to_ms(error.until)
    pause_ms = LOST_MS if isinstance(error, PermanentError) else FAILED_MS
    return clock.now_ms() + pause_ms


def _read_due(desk: _Desk, claim: Watched) -> tuple[int, int]:
    """Read levels and new posts, those that are due, and days; as far as it is time."""
    now, posts, days = clock.now_ms(), 0, 0
    stop = jobs.current().check

    def go_on() -> None:
        stop()
        desk.watching.renew(claim)

    one = desk.begin(claim.platform, account=claim.account, stop=go_on)
    try:
        if claim.listed_ms + LIST_MS <= now + ALONG_MS:
            posts += one.listed(desk.settings.listed_days, until_known=True)
            claim.listed_ms = now
        posts += one.named(desk.watching.due_posts(claim.id))[0]
        if claim.days_ms + DAYS_MS <= now:
            days = one.days(first=not claim.days_ms, posts=desk.young_posts(claim.id))
            claim.days_ms = now
    finally:
        one.note()
    one.close()
    return posts, days


def _send_due(account: int, at_ms: int | None) -> None:
    """Set the alarm of an account; its row keeps the time, should it be lost."""
    from .actors import collect_due as actor

    job = jobs.running()
    if at_ms is None or job is None or job.delivery is None:
        return  # the sweep finds it
    wait_ms = max(0, at_ms - clock.now_ms())
    actor.send_with_options(kwargs={"account": account}, delay=wait_ms)


def sweep_collections() -> dict[str, Any]:
    """Send a message for each account that is due and nobody reads; tell how many."""
    from .actors import collect_due as actor

    desk = _open_for_sweep()
    if isinstance(desk, str):
        return SweepCollectionsResult(skipped=desk).to_json()
    overdue = Watching(desk).overdue()
    for account in overdue:
        actor.send_with_options(
            kwargs={"account": account}, dedupe_key=f"collect_due:{account}"
        )
    return SweepCollectionsResult(sent=len(overdue)).to_json()


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
    if platform is None and isinstance(why := _open_for_sweep(), str):
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
    if isinstance(why := _open_for_sweep(), str):
        return SweepReportsResult(skipped=why).to_json()
    from .plans import sweep_plans as send_due

    return send_due()


def sweep() -> dict[str, Any]:
    """Thin out old snapshots; tell how many."""
    database = _open_for_sweep()
    if isinstance(database, str):
        return SweepSnapshotsResult(skipped=database).to_json()
    from .retention import thin

    kept_days = AnalyticsSettings.load().kept_days
    deleted = thin(database, kept_days, stop=jobs.current().check)
    return SweepSnapshotsResult(deleted=deleted).to_json()


def _open_for_sweep() -> Database | str:
    """Return the database, or why there is none: most workers collect nothing."""
    try:
        _need_extra()
        with closing(Database.open(CoreSettings.load())) as found:
            path = found.path
        if path is not None and not path.exists():
            return "there is no database yet"
        return open_database(CoreSettings.load())
    except ConfigurationError as error:
        log.info("analytics.sweep_skipped", reason=error.message)
        return error.message


def _need_extra() -> None:
    """Refuse to begin without what the domain stands on.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import numpy  # noqa: F401, ICN001 - said here, where there is nothing half done
    except ImportError as error:
        raise MissingExtraError("the analytics domain", "analytics") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """What a reading needs of the environment."""

    core: CoreSettings
    settings: AnalyticsSettings
    platforms: PlatformSettings
    database: Database

    @classmethod
    def open(cls) -> Self:
        """Read the environment and open the database."""
        _need_extra()
        core = CoreSettings.load()
        return cls(
            core=core,
            settings=AnalyticsSettings.load(),
            platforms=PlatformSettings.load(),
            database=open_database(core),
        )

    @property
    def watching(self) -> Watching:
        """The accounts that are read by themselves."""
        return Watching(self.database)

    def begin(
        self,
        platform: str,
        *,
        account: str | None,
        token: MessageToken | None = None,
        time_zone: str | None = None,
        stop: Callable[[], None] | None = None,
    ) -> Round:
        """Begin to read an account: its levels are read.

        Raises:
            AuthorizationError: Its token is not good, and only its owner can help.
        """
        collector = collectors.get(platform)()
        text = None if token is None else open_token(token)
        gate = Gate(
            platform=platform,
            account=account or unnamed(text or ""),
            part=jobs.current().id,
            settings=self.platforms,
        )
        gate.enter()
        try:
            access = self._access(collector, platform, account, text)
        except NexusError as error:
            gate.learn(error)
            raise
        access.gate, access.stop = gate, stop or jobs.current().check
        at = clock.now()
        remote, reading = collector.read_account(access)
        snapshots = Snapshots(self.database)
        owner = snapshots.owner(platform, account or remote, time_zone=time_zone)
        snapshots.write_account(owner, reading, at=at)
        return Round(
            collector=collector,
            access=access,
            snapshots=snapshots,
            watching=self.watching,
            owner=owner,
            remote=remote,
        )

    def _access(
        self, collector: Collector, platform: str, account: str | None, text: str | None
    ) -> Access:
        make_client = collector.make_client
        if account is None:
            assert text is not None  # noqa: S101 - the model sees to it
            return Access(make_client=make_client, platforms=self.platforms, token=text)
        tokens = open_tokens(self.core, self.database, self.platforms)

        def renew(rejected: str) -> str:
            return tokens.token_of(tokens.renew(platform, account, rejected=rejected))

        return Access(
            make_client=make_client,
            platforms=self.platforms,
            token=tokens.token_of(tokens.usable(platform, account)),
            renew=renew,
        )

    def young_posts(self, account: int) -> list[str]:
        """Return the posts that are still collected."""
        oldest = clock.now() - timedelta(days=self.settings.listed_days)
        return self.watching.posts_since(account, clock.to_ms(oldest))
