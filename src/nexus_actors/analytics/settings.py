"""Settings of the analytics domain."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from nexus_actors.core.models import Model
from nexus_actors.core.settings import Settings, own

from .models import AccountName, Name, PeriodName


class ReportPlan(Model):
    """A report that is made when its period's figures are final.

    Attributes:
        name: It is made once for each period by this name.
        period: ``day``, ``week`` or ``month``.
        accounts: Whom it is of, as ``platform/account``; by default, all.
        users: Who is told of it.
        title: What it is called.
    """

    name: Name
    period: PeriodName = "week"
    accounts: tuple[AccountName, ...] = ()
    users: tuple[Name, ...] = ()
    title: str | None = None

    @field_validator("period")
    @classmethod
    def _recurs(cls, period: str) -> str:
        if period == "custom":
            raise ValueError("is day, week or month")
        return period


class AnalyticsSettings(Settings):
    """How figures are collected and kept."""

    listed_days: Annotated[
        int,
        own(
            "ANALYTICS_LISTED_DAYS",
            "how old posts are that are still collected, where no post is named",
        ),
        Field(ge=1, le=3650),
    ] = 90
    kept_days: Annotated[
        int,
        own(
            "ANALYTICS_KEPT_DAYS",
            "how long all snapshots are kept; of older ones, those of the ages of a "
            "day, 7 and 28 days, and the last",
        ),
        Field(ge=7, le=36_500),
    ] = 90
    analytics_reports: Annotated[
        tuple[ReportPlan, ...],
        own(
            "ANALYTICS_REPORTS",
            'reports that recur, as JSON: [{"name": "team", "period": "week", '
            '"accounts": ["tiktok/shop"], "users": ["user-456"]}]',
        ),
    ] = ()
