"""Analytics: what platforms say of posts; days, weeks, rates and anomalies of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_actors.core.lazy import lazy_names

from .actors import (
    aggregate_metrics,
    collect_due,
    collect_metrics,
    detect_anomalies,
    generate_report,
    sweep_collections,
    sweep_reports,
    sweep_snapshots,
)


if TYPE_CHECKING:
    from .base import Access, Collector, Page, collectors
    from .engagement import Base, Rate, Rates, Weights, rate, rates
    from .figures import Day, Figures, PostFigures, ReportedDay, Week
    from .metrics import Break, Kind, Metric, State
    from .models import (
        AccountName,
        AggregateMetricsRequest,
        CollectMetricsRequest,
        DetectAnomaliesRequest,
        GenerateReportRequest,
    )
    from .readings import AccountReading, DayReading, PostReading
    from .settings import AnalyticsSettings, ReportPlan
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            ".base": ("Access", "Collector", "Page", "collectors"),
            ".engagement": ("Base", "Rate", "Rates", "Weights", "rate", "rates"),
            ".figures": ("Day", "Figures", "PostFigures", "ReportedDay", "Week"),
            ".metrics": ("Break", "Kind", "Metric", "State"),
            ".models": (
                "AccountName",
                "AggregateMetricsRequest",
                "CollectMetricsRequest",
                "DetectAnomaliesRequest",
                "GenerateReportRequest",
            ),
            ".readings": ("AccountReading", "DayReading", "PostReading"),
            ".settings": ("AnalyticsSettings", "ReportPlan"),
        },
    )


__all__ = [
    "Access",
    "AccountName",
    "AccountReading",
    "AggregateMetricsRequest",
    "AnalyticsSettings",
    "Base",
    "Break",
    "CollectMetricsRequest",
    "Collector",
    "Day",
    "DayReading",
    "DetectAnomaliesRequest",
    "Figures",
    "GenerateReportRequest",
    "Kind",
    "Metric",
    "Page",
    "PostFigures",
    "PostReading",
    "Rate",
    "Rates",
    "ReportPlan",
    "ReportedDay",
    "State",
    "Week",
    "Weights",
    "aggregate_metrics",
    "collect_due",
    "collect_metrics",
    "collectors",
    "detect_anomalies",
    "generate_report",
    "rate",
    "rates",
    "sweep_collections",
    "sweep_reports",
    "sweep_snapshots",
]
