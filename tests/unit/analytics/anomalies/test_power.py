"""How many false alarms, and what is found: against an oracle, on simulated days."""

from __future__ import annotations

from functools import cache

import pytest

import power
from power import AFTER, BUDGET, CHANGES, LEVELS, ORACLES, Calm, Change
from scale import scaled


SERIES = scaled(60, full=1000)
#: Chance is allowed for at the small scale, in standard errors.
ERRORS = scaled(2.5, full=0.0)
#: The share of what the oracle finds.
SHARE = 0.85
#: What the oracle itself hardly finds cannot be compared.
RARE = 0.02
PROMISED = [change for change in CHANGES if change != Change(1.5, lasting=True)]


@cache
def calm(level: int) -> Calm:
    return power.calm(level, SERIES)


@cache
def limits(level: int) -> dict[str, float]:
    return {name: calm(level).limit(method) for name, method in ORACLES.items()}


@pytest.mark.parametrize("level", LEVELS)
def test_false_alarms_stay_within_the_budget(level: int) -> None:
    allowed = BUDGET * SERIES * AFTER / 1000

    assert calm(level).alarms <= allowed + ERRORS * allowed**0.5


@pytest.mark.parametrize("level", LEVELS)
def test_false_alarms_on_differences_do_so_too(level: int) -> None:
    allowed = BUDGET * SERIES * AFTER / 1000

    assert power.net(level, SERIES) <= allowed + ERRORS * allowed**0.5


@pytest.mark.parametrize("level", scaled((200,), full=LEVELS))
@pytest.mark.parametrize("change", PROMISED, ids=str)
def test_the_detector_finds_nearly_what_an_oracle_finds(
    level: int, change: Change
) -> None:
    days = power.disturbed(level, SERIES, change)

    found = power.detected(days, change).mean()

    shares = [
        power.beyond(method, days, change, limits(level)[name]).mean()
        for name, method in ORACLES.items()
    ]
    best = max(shares)
    error = (best * (1 - best) / SERIES) ** 0.5
    assert found >= SHARE * best - ERRORS * error - RARE * (best < RARE)
