"""Settings of the analytics domain."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nexus_actors.core.settings import Settings, own


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
