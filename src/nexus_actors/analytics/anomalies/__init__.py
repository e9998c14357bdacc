"""Anomalies: unusual days, rows and posts.  Needs no queue, no database; but numpy."""

from __future__ import annotations

from importlib.util import find_spec

from nexus_actors.core.errors import MissingExtraError


if find_spec("numpy") is None:
    raise MissingExtraError("nexus_actors.analytics.anomalies", "analytics")

from .daily import detect
from .models import Anomaly, Kind
from .novelty import score
from .velocity import Pace, Velocity, velocity


__all__ = ["Anomaly", "Kind", "Pace", "Velocity", "detect", "score", "velocity"]
