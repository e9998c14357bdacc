from __future__ import annotations

from datetime import datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_actors.notifications.quiet import check_zone, quiet_until


NIGHT = (time(22), time(8))


@pytest.mark.parametrize(
    ("zone", "hours", "now", "until"),
    [
        ("Europe/Berlin", NIGHT, "2026-01-10T21:59:59+01:00", None),
        (
            "Europe/Berlin",
            NIGHT,
            "2026-01-10T22:00:00+01:00",
            "2026-01-11T08:00:00+01:00",
        ),
        (
            "Europe/Berlin",
            NIGHT,
            "2026-01-11T03:00:00+01:00",
            "2026-01-11T08:00:00+01:00",
        ),
        ("Europe/Berlin", NIGHT, "2026-01-11T08:00:00+01:00", None),
        # the same night by another clock
        ("Asia/Tokyo", NIGHT, "2026-01-11T01:00:00+00:00", None),
        (
            "Asia/Kolkata",
            (time(13), time(14)),
            "2026-01-11T08:00:00+00:00",
            "2026-01-11T08:30:00+00:00",
        ),
        # the night in which the clock is set forward is an hour shorter
        (
            "Europe/Berlin",
            NIGHT,
            "2026-03-28T23:00:00+01:00",
            "2026-03-29T08:00:00+02:00",
        ),
        # an end that the clock jumps over (2:00 to 3:00) is the jump
        (
            "Europe/Berlin",
            (time(22), time(2, 30)),
            "2026-03-29T01:59:00+01:00",
            "2026-03-29T01:00:00+00:00",
        ),
        ("Europe/Berlin", (time(22), time(2, 30)), "2026-03-29T01:00:00+00:00", None),
        # of an end that comes twice, the second counts
        (
            "America/New_York",
            (time(22), time(1, 30)),
            "2026-11-01T01:15:00-04:00",
            "2026-11-01T01:30:00-05:00",
        ),
        (
            "America/New_York",
            (time(22), time(1, 30)),
            "2026-11-01T01:15:00-05:00",
            "2026-11-01T01:30:00-05:00",
        ),
        # and of a beginning the first
        (
            "America/New_York",
            (time(1, 30), time(6)),
            "2026-11-01T01:45:00-04:00",
            "2026-11-01T06:00:00-05:00",
        ),
        # half an hour of summer time
        (
            "Australia/Lord_Howe",
            (time(22), time(2, 15)),
            "2026-10-04T01:45:00+10:30",
            "2026-10-03T15:30:00+00:00",
        ),
        ("UTC", (time(9), time(9)), "2026-01-11T09:00:00+00:00", None),
    ],
)
def test_people_are_left_alone_by_their_own_clock(
    zone: str, hours: tuple[time, time], now: str, until: str | None
) -> None:
    expected = None if until is None else datetime.fromisoformat(until)

    assert quiet_until(datetime.fromisoformat(now), zone, hours) == expected


@given(
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)),  # noqa: DTZ001
    st.times(),
    st.times(),
)
def test_the_end_lies_ahead_within_a_day_and_is_no_quiet_hour(
    zone: str, now: datetime, begin: time, end: time
) -> None:
    moment = now.replace(microsecond=0).astimezone()
    hours = (begin.replace(microsecond=0), end.replace(microsecond=0))

    until = quiet_until(moment, zone, hours)

    if until is not None:
        assert moment < until <= moment + timedelta(hours=26)
        assert quiet_until(until, zone, hours) is None


def test_a_zone_that_is_none_is_refused() -> None:
    assert check_zone("Europe/Berlin") == "Europe/Berlin"
    for name in ("Mars/Olympus", "../etc/passwd", "", "/etc/passwd"):
        with pytest.raises(ValueError, match="is no time zone"):
            check_zone(name)
