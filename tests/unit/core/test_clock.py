"""The time is aware and of this world."""

from __future__ import annotations

import time
from datetime import timedelta

from nexus_actors.core import clock


def test_now_is_aware_and_in_utc() -> None:
    assert clock.now().utcoffset() == timedelta(0)


def test_both_readings_are_of_the_same_clock() -> None:
    before = time.time()

    readings = [clock.now_ms() / 1000, clock.now().timestamp()]

    assert all(abs(reading - before) < 60 for reading in readings)
    assert readings[0] <= readings[1] + 0.001
