"""Errors of the analytics domain."""

from __future__ import annotations

from nexus_actors.core.errors import PermanentError, RejectedError


class NotCollectedError(PermanentError):
    """Nothing was ever collected of that account."""

    code = "not_collected"


class TimeZoneFixedError(RejectedError):
    """The account has days of another time zone whose snapshots are gone."""

    code = "time_zone_fixed"
