"""The composition root: the only module that knows all domains."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
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

#: What the worker of a domain is called by its health endpoint, and the port of that:
#: both as in the previous system.
WORKERS: Final = {
    "video": ("video-processor", 3001),
    "social": ("social-publisher", 3002),
    "analytics": ("analytics-aggregator", 3003),
    "notifications": ("notification-dispatcher", 3004),
}

#: Those of a worker of several domains.
MIXED_WORKER: Final = ("nexus-actors", 3000)


def worker_of(domains: Sequence[str] | None) -> tuple[str, int]:
    """Return what the worker of *domains*, or of all, is called, and its port."""
    if domains is None or len(domains) != 1:
        return MIXED_WORKER
    return WORKERS.get(domains[0], MIXED_WORKER)


#: What the workers of a domain do beside their jobs.
CHORES: Final = {"video": "nexus_actors.video.connect:tidy"}


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
        ConfigurationError: There is no such domain, or a setting is malformed, or is
            missing for a route that ``NEXUS_ROUTES`` switches on.
    """
    domains = list(DOMAINS if domains is None else domains)
    actors = actors_of(domains)
    broker = broker or attached_broker(settings)
    _add_jobs_middleware(broker)
    _add_chores(broker, domains)
    if any(actor.actor_name.startswith("notifications.") for actor in actors):
        _add_routes(broker)
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


def _add_chores(broker: dramatiq.Broker, domains: Iterable[str]) -> None:
    """Let a broker's workers do what belongs to *domains*; once."""
    from nexus_actors.engine.middleware.chores import Chore

    known = {item.path for item in broker.middleware if isinstance(item, Chore)}
    for domain, path in CHORES.items():
        if domain in domains and path not in known:
            broker.add_middleware(Chore(path))


def _add_routes(broker: dramatiq.Broker) -> None:
    """Let workers on *broker* act on what happens in other domains, as a host wants.

    Domains know nothing of each other: the routes between them are made here.
    """
    if not os.environ.get("NEXUS_ROUTES"):
        return
    from nexus_actors.engine.broker import RedisBroker
    from nexus_actors.engine.middleware.routes import RoutesMiddleware
    from nexus_actors.notifications.news import routes
    from nexus_actors.notifications.settings import NotificationSettings

    if not isinstance(broker, RedisBroker):
        raise ConfigurationError(
            "NEXUS_ROUTES needs nexus_actors.RedisBroker: other brokers tell no events"
        )
    found = routes(NotificationSettings.load())
    if not any(isinstance(item, RoutesMiddleware) for item in broker.middleware):
        broker.add_middleware(RoutesMiddleware(found))
