"""The target of the dramatiq command: ``dramatiq nexus_actors.worker``.

The one module whose import acts: it sets a broker unless the host has set one.  When
the worker process has booted, the domains are declared: those of ``NEXUS_DOMAINS``,
else all; ``dramatiq nexus_actors.worker:video`` declares one.
"""

from __future__ import annotations

import dramatiq

from nexus_actors.app import setup
from nexus_actors.core.logs import configure
from nexus_actors.core.settings import CoreSettings
from nexus_actors.engine.actor import attached_broker


_settings = CoreSettings.load()
_chosen: list[str] | None = (
    [name.strip() for name in _settings.domains.split(",")]
    if _settings.domains
    else None
)


class _DeclareOnBoot(dramatiq.Middleware):
    """Declares the chosen domains once the process is there to run them."""

    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        configure(_settings.log_level, _settings.log_format)
        setup(broker=broker, domains=_chosen)


attached_broker().add_middleware(_DeclareOnBoot())


def video() -> None:
    """Run the video domain alone."""
    _choose("video")


def _choose(domain: str) -> None:
    global _chosen  # noqa: PLW0603 - the dramatiq command calls without arguments
    _chosen = [domain]
