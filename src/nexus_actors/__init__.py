"""Dramatiq actors for platforms where people upload content.

Importing this package, or one of its domains, opens no connection, reads no environment
and loads no vendor's SDK.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from .app import setup
    from .core.errors import (
        AuthorizationError,
        BrokerUnavailable,
        ConfigurationError,
        ForbiddenUrlError,
        InternalError,
        InvalidRequestError,
        MissingExtraError,
        MissingToolError,
        NexusError,
        PermanentError,
        Postponed,
        RejectedError,
        RemoteUnavailableError,
        ResourceError,
        TransientError,
        UnknownAdapterError,
        UnknownOutcomeError,
        UnsupportedFeatureError,
    )
    from .core.settings import CoreSettings
    from .engine import events, jobs
    from .engine.broker import RedisBroker

__all__ = [
    "AuthorizationError",
    "BrokerUnavailable",
    "ConfigurationError",
    "CoreSettings",
    "ForbiddenUrlError",
    "InternalError",
    "InvalidRequestError",
    "MissingExtraError",
    "MissingToolError",
    "NexusError",
    "PermanentError",
    "Postponed",
    "RedisBroker",
    "RejectedError",
    "RemoteUnavailableError",
    "ResourceError",
    "TransientError",
    "UnknownAdapterError",
    "UnknownOutcomeError",
    "UnsupportedFeatureError",
    "events",
    "jobs",
    "setup",
]

#: Where a name is found that is not one of the errors.
_HOMES = {
    "CoreSettings": ".core.settings",
    "RedisBroker": ".engine.broker",
    "setup": ".app",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in {"events", "jobs"}:
        return import_module(f".engine.{name}", __name__)
    return getattr(import_module(_HOMES.get(name, ".core.errors"), __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
