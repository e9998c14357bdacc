"""The actors of the analytics domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from nexus_actors.engine.actor import actor


#: The queue of all analytics actors; its name is the original system's.
QUEUE: Final = "analytics-aggregation"

_MODELS: Final = "nexus_actors.analytics.models"


@actor(queue_name=QUEUE, request=f"{_MODELS}:CollectMetricsRequest")
def collect_metrics(  # noqa: PLR0913 - what a message may say
    *,
    platform: str,
    account: str | None = None,
    access_token: str | None = None,
    post_id: str | None = None,
    post_ids: Sequence[str] = (),
    time_zone: str | None = None,
    days: bool = False,
    watch: bool | None = None,
) -> dict[str, Any]:
    """Read the figures of posts and of their account, and keep them.

    The arguments are those of `CollectMetricsRequest`.
    """
    from .connect import collect

    return collect(
        {
            "platform": platform,
            "account": account,
            "access_token": access_token,
            "post_id": post_id,
            "post_ids": post_ids,
            "time_zone": time_zone,
            "days": days,
            "watch": watch,
        }
    )


@actor(
    queue_name=QUEUE,
    request=f"{_MODELS}:CollectDueRequest",
    time_limit=float("inf"),  # each part of it is short
)
def collect_due(*, account: int) -> dict[str, Any]:
    """Read what is due of an account that is read by itself."""
    from .connect import collect_due as collect

    return collect(account)


@actor(queue_name=QUEUE, request=f"{_MODELS}:SweepCollectionsRequest", cron="* * * * *")
def sweep_collections() -> dict[str, Any]:
    """Go on with accounts that are due: their alarm, or their worker, was lost."""
    from .connect import sweep_collections as sweep

    return sweep()


@actor(
    queue_name=QUEUE,
    request=f"{_MODELS}:AggregateMetricsRequest",
    time_limit=float("inf"),  # each part of it is short
)
def aggregate_metrics(
    *,
    period: Literal["day", "week"] = "day",
    platform: str | None = None,
    account: str | None = None,
    rebuild: bool = False,
) -> dict[str, Any]:
    """Work out the days and weeks whose snapshots have changed."""
    from .connect import aggregate

    return aggregate(period, platform, account, rebuild=rebuild)


@actor(
    queue_name=QUEUE,
    request=f"{_MODELS}:SweepSnapshotsRequest",
    cron="23 3 * * *",
    time_limit=float("inf"),  # likewise
)
def sweep_snapshots() -> dict[str, Any]:
    """Thin out old snapshots; what was worked out of them is kept."""
    from .connect import sweep

    return sweep()


@actor(
    queue_name=QUEUE,
    request=f"{_MODELS}:DetectAnomaliesRequest",
    cron="41 * * * *",
    time_limit=float("inf"),  # likewise
)
def detect_anomalies(
    *, platform: str | None = None, account: str | None = None
) -> dict[str, Any]:
    """Judge days that have become final, and posts; tell what is far from usual."""
    from .connect import detect

    return detect(platform, account)


@actor(
    queue_name=QUEUE,
    request=f"{_MODELS}:GenerateReportRequest",
    time_limit=float("inf"),  # likewise
)
def generate_report(  # noqa: PLR0913 - what a message may say
    *,
    period: str = "week",
    since: str | None = None,
    until: str | None = None,
    platform: str | None = None,
    account: str | None = None,
    accounts: Sequence[Any] = (),
    user_id: str | None = None,
    users: Sequence[str] = (),
    title: str | None = None,
    formats: Sequence[str] = (),
    plan: str | None = None,
) -> dict[str, Any]:
    """Make a report of accounts, store it, and tell of it.

    The arguments are those of `GenerateReportRequest`.
    """
    from .connect import report

    return report(
        {
            "period": period,
            "since": since,
            "until": until,
            "platform": platform,
            "account": account,
            "accounts": accounts,
            "user_id": user_id,
            "users": users,
            "title": title,
            "formats": formats,
            "plan": plan,
        }
    )


@actor(queue_name=QUEUE, request=f"{_MODELS}:SweepReportsRequest", cron="11 * * * *")
def sweep_reports() -> dict[str, Any]:
    """Send for the planned reports that are due."""
    from .connect import sweep_plans

    return sweep_plans()
