"""The composition root: the only module that knows all domains."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Final

import dramatiq

from nexus_actors.core.errors import ConfigurationError
from nexus_actors.engine.actor import Actor, attached_broker


if TYPE_CHECKING:
    from nexus_actors.core.settings import CoreSettings

#: Every domain, and where its actors are.
DOMAINS: Final = {
    "analytics": "nexus_actors.analytics.actors",
    "notifications": "nexus_actors.notifications.actors",
    "social": "nexus_actors.social.actors",
    "video": "nexus_actors.video.actors",
}


def setup(
    *,
    broker: dramatiq.Broker | None = None,
    settings: CoreSettings | None = None,
    domains: Iterable[str] | None = None,
) -> dramatiq.Broker:
    """Declare the actors of *domains* on *broker*, so that its workers run them.

    Call it before a worker starts.  Calling it again with the same broker does nothing,
    with another one rebinds the actors.  A host that only sends needs no `setup`.

    Args:
        broker: Yours; by default the one set with `dramatiq.set_broker`, else one made
            from *settings* or the environment and set.
        settings: What the broker is made from, if one must be made.
        domains: Names of domains; all by default.

    Raises:
        ConfigurationError: There is no such domain, or a setting is malformed.
    """
    actors = actors_of(domains)
    broker = broker or attached_broker(settings)
    _add_jobs_middleware(broker)
    for actor in actors:
        actor.declare_on(broker)
    return broker


def actors_of(domains: Iterable[str] | None = None) -> list[Actor[..., object]]:
    """Return the actors of *domains*, or of all.

    Raises:
        ConfigurationError: There is no such domain.
    """
    names = list(DOMAINS if domains is None else domains)
    unknown = [name for name in names if name not in DOMAINS]
    if unknown:
        raise ConfigurationError(
            f"no domain {unknown[0]!r}; known: {', '.join(sorted(DOMAINS))}"
        )
    modules = [import_module(DOMAINS[name]) for name in names]
    found = [value for module in modules for value in vars(module).values()]
    return [value for value in found if isinstance(value, Actor)]


def _add_jobs_middleware(broker: dramatiq.Broker) -> None:
    """Let a foreign broker's jobs hear of a shutdown, too; ours has it already."""
    from nexus_actors.engine.middleware.jobs import JobsMiddleware

    if not any(isinstance(item, JobsMiddleware) for item in broker.middleware):
        first = type(broker.middleware[0]) if broker.middleware else None
        broker.add_middleware(JobsMiddleware(), before=first)
