"""What a project may ask of the YouTube API in a day, and in a minute."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo

from nexus_actors.sandbox.base import Vendor
from nexus_actors.sandbox.window import Window

from . import errors
from .settings import YouTubeSettings


#: Where the day of a quota begins.
PACIFIC: Final = ZoneInfo("America/Los_Angeles")

Bucket = Literal["uploads", "units", "stats"]


class Quota:
    """Counts what was used; an invalid request counts as well."""

    def __init__(self, vendor: Vendor[YouTubeSettings]) -> None:
        self._vendor = vendor
        self._used: Counter[tuple[date, Bucket]] = Counter()
        self._minute = Window(vendor.clock, 60)

    def charge(self, units: int) -> None:
        """Use *units*.

        Raises:
            Refusal: There are not so many left today, or it was too much this minute.
        """
        self._pace()
        self._use("units", units, self._vendor.settings.units_per_day)

    def charge_upload(self) -> None:
        """Use one upload, and the units that the settings say it costs beside.

        Raises:
            Refusal: None is left today, or it was too much this minute.
        """
        settings = self._vendor.settings
        self._pace()
        if settings.insert_units:
            self._use("units", settings.insert_units, settings.units_per_day)
        self._use("uploads", 1, settings.uploads_per_day)

    def charge_stats(self) -> None:
        """Use one of the calls of ``batchGetStats``, which have a bucket of their own.

        Raises:
            Refusal: None is left today, or it was too much this minute.
        """
        self._pace()
        self._use("stats", 1, self._vendor.settings.stats_per_day)

    def _use(self, bucket: Bucket, amount: int, limit: int) -> None:
        today = datetime.fromtimestamp(self._vendor.clock.now(), PACIFIC).date()
        if self._used[today, bucket] + amount > limit:
            raise errors.refusal(
                403,
                "quotaExceeded",
                "The request cannot be completed because you have exceeded your "
                '<a href="/youtube/v3/getting-started#quota">quota</a>.',
                domain="youtube.quota",
            )
        self._used[today, bucket] += amount

    def _pace(self) -> None:
        limit = self._vendor.settings.requests_per_minute
        if limit is not None and self._minute.count() >= limit:
            raise errors.refusal(
                429,
                "rateLimitExceeded",
                "Quota exceeded for quota metric 'Queries' and limit 'Queries per "
                "minute' of service 'youtube.googleapis.com'.",
                domain="usageLimits",
            )
        self._minute.add()
