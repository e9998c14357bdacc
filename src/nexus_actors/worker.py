"""The target of the dramatiq command: ``dramatiq nexus_actors.worker``.

The one module whose import acts: it sets a broker unless the host has set one.  When
the worker process has booted, the domains are declared: those of ``NEXUS_DOMAINS``,
else all; ``dramatiq nexus_actors.worker:video`` declares one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Final

import dramatiq

from nexus_actors.app import DOMAINS, setup, worker_of
from nexus_actors.core.database import refuse_unfit
from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.logs import configure
from nexus_actors.core.settings import CoreSettings
from nexus_actors.engine.actor import attached_broker
from nexus_actors.engine.checks import Need
from nexus_actors.engine.health import Health, Place
from nexus_actors.engine.metrics import Exporter, prepare
from nexus_actors.engine.middleware.health import HealthMiddleware
from nexus_actors.engine.middleware.metrics import MetricsMiddleware


#: Which domains cannot do without the database.
DATABASE: Final = frozenset({"analytics", "notifications", "social"})

_chosen: list[str] | None = None


@contextmanager
def _or_exit() -> Iterator[None]:
    """End the process with one line: dramatiq would log the error and idle."""
    try:
        yield
    except ConfigurationError as error:
        sys.exit(f"error: {error.message}")


class _DeclareOnBoot(dramatiq.Middleware):
    """Declares the chosen domains once the process is there to run them."""

    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        settings = CoreSettings.load()
        configure(settings.log_level, settings.log_format, env=settings.env)
        self._declare(broker)

    def before_worker_boot(
        self,
        broker: dramatiq.Broker,
        worker: dramatiq.Worker,  # noqa: ARG002 - dramatiq's signature
    ) -> None:
        # The process had booted already if this module was imported after the host's:
        # ``dramatiq hostapp nexus_actors.worker``
        self._declare(broker)
        if not DATABASE.isdisjoint(_chosen or ()):
            with _or_exit():
                refuse_unfit(CoreSettings.load())

    def _declare(self, broker: dramatiq.Broker) -> None:
        with _or_exit():
            setup(broker=broker, domains=_chosen)


def _find_ffmpeg() -> None:
    from nexus_actors.video.settings import VideoSettings
    from nexus_actors.video.tools import find_tools

    find_tools(VideoSettings.load())


#: What must be on the machine for the jobs of a domain, beside its packages.
_NEEDS: dict[str, dict[str, Need]] = {"video": {"ffmpeg": _find_ffmpeg}}


def _place() -> Place:
    """Return where this worker tells its health and its metrics."""
    worker, port = worker_of(_chosen)
    with _or_exit():
        return Place.of(CoreSettings.load(), worker=worker, port=port)


def _folder(place: Place) -> Path | None:
    """Return where the processes write their metrics; ``None`` if they cannot."""
    try:
        return prepare(place.name)
    except OSError:  # that there is no folder for such files is told with the health
        return None


def _health() -> Health | None:
    """Return what is told there, unless the port is set to 0."""
    place = _place()
    if not place.port:
        return None
    exporter = cache(partial(Exporter, CoreSettings.load(), _folder(place)))
    needs = (_NEEDS.get(domain, {}) for domain in _chosen or DOMAINS)
    found = {name: need for each in needs for name, need in each.items()}
    return Health(place, found, lambda accept: exporter().render(accept))


def analytics() -> None:
    """Run the analytics domain alone."""
    _choose("analytics")


def social() -> None:
    """Run the social domain alone."""
    _choose("social")


def video() -> None:
    """Run the video domain alone."""
    _choose("video")


def notifications() -> None:
    """Run the notifications domain alone."""
    _choose("notifications")


def _choose(domain: str) -> None:
    global _chosen  # noqa: PLW0603 - the dramatiq command calls without arguments
    _chosen = [domain]


with _or_exit():
    _names = (CoreSettings.load().domains or "").split(",")
    _chosen = [name.strip() for name in _names if name.strip()] or None
    _broker = attached_broker()
    _broker.add_middleware(HealthMiddleware(_health))
    _broker.add_middleware(_DeclareOnBoot())
    _broker.add_middleware(MetricsMiddleware(lambda: _place().name))
