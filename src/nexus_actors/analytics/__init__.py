"""Analytics: what platforms say of posts; days, weeks, rates and anomalies of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_actors.core.lazy import lazy_names

from .actors import (
    aggregate_metrics,
    collect_due,
    collect_metrics,
    sweep_collections,
    sweep_snapshots,
)


if TYPE_CHECKING:
    from .base import Access, Collector, Page, collectors
    from .engagement import Base, Rate, Rates, Weights, rate, rates
    from .figures import Day, Figures, PostFigures, ReportedDay, Week
    from .metrics import Break, Kind, Metric, State
    from .models import AggregateMetricsRequest, CollectMetricsRequest
    from .readings import AccountReading, DayReading, PostReading
    from .settings import AnalyticsSettings
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            ".base": ("Access", "Collector", "Page", "collectors"),
            ".engagement": ("Base", "Rate", "Rates", "Weights", "rate", "rates"),
            ".figures": ("Day", "Figures", "PostFigures", "ReportedDay", "Week"),
            ".metrics": ("Break", "Kind", "Metric", "State"),
            ".models": ("AggregateMetricsRequest", "CollectMetricsRequest"),
            ".readings": ("AccountReading", "DayReading", "PostReading"),
            ".settings": ("AnalyticsSettings",),
        },
    )


__all__ = [
    "Access",
    "AccountReading",
    "AggregateMetricsRequest",
    "AnalyticsSettings",
    "Base",
    "Break",
    "CollectMetricsRequest",
    "Collector",
    "Day",
    "DayReading",
    "Figures",
    "Kind",
    "Metric",
    "Page",
    "PostFigures",
    "PostReading",
    "Rate",
    "Rates",
    "ReportedDay",
    "State",
    "Week",
    "Weights",
    "aggregate_metrics",
    "collect_due",
    "collect_metrics",
    "collectors",
    "rate",
    "rates",
    "sweep_collections",
    "sweep_snapshots",
]
