"""What becomes of an event that cannot be dealt with."""

from __future__ import annotations

from collections import Counter

import pytest

from nexus_actors import BrokerUnavailable, ConfigurationError, TransientError
from nexus_actors.core import clock
from nexus_actors.engine.events import Event
from nexus_actors.engine.middleware.routes import MOST_TRIES, RoutesMiddleware


def event(name: str) -> Event:
    return Event(id=f"1-{name}", name=name, job="", at=clock.now(), body={}, key="k")


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (KeyError("of a host's function"), MOST_TRIES),
        (TransientError("later"), MOST_TRIES),
        (ConfigurationError("never"), 1),
    ],
)
def test_what_fails_again_and_again_holds_up_the_rest_for_a_few_tries_alone(
    error: Exception, tries: int, caplog: pytest.LogCaptureFixture
) -> None:
    taken = Counter[str]()

    def stumble(event: Event) -> None:
        taken[event.id] += 1
        raise error

    middleware = RoutesMiddleware({"toy.a": stumble, "toy.b": stumble})
    for name in ("toy.a", "toy.b"):
        for _ in range(tries - 1):
            with pytest.raises(type(error)):
                middleware.take(event(name))
        middleware.take(event(name))

    assert taken == {"1-toy.a": tries, "1-toy.b": tries}
    assert caplog.text.count("routes.failed") == 2


def test_where_redis_is_away_an_event_is_never_given_up() -> None:
    def stumble(_: Event) -> None:
        raise BrokerUnavailable("away")

    middleware = RoutesMiddleware({"toy.a": stumble})
    for _ in range(2 * MOST_TRIES):
        with pytest.raises(BrokerUnavailable):
            middleware.take(event("toy.a"))
