from __future__ import annotations

import pytest
from scipy import stats

from nexus_actors.analytics.anomalies.tails import at_least, at_most, usual_range


@pytest.mark.parametrize("mean", [0.05, 5, 200, 1e6])
@pytest.mark.parametrize("size", [0.3, 12, 400])
def test_chances_are_those_of_the_negative_binomial_law(
    mean: float, size: float
) -> None:
    law = stats.nbinom(size, size / (size + mean))

    for chance in (1e-9, 1e-4, 0.3, 0.8, 0.9999):
        count = float(law.ppf(chance))
        told = at_most(count, mean, 1 / size), at_least(count, mean, 1 / size)
        assert told == pytest.approx((law.cdf(count), law.sf(count - 1)), rel=1e-5)


def test_the_usual_range_ends_where_counts_become_rarer_than_asked() -> None:
    low, high = usual_range(200, 0.1, 0.001)

    assert at_most(low, 200, 0.1) == pytest.approx(0.001, rel=0.01)
    assert at_least(high, 200, 0.1) == pytest.approx(0.001, rel=0.01)
