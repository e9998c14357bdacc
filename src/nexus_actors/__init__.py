"""Dramatiq actors for platforms where people upload content.

Importing this package, or one of its domains, opens no connection, reads no environment
and loads no vendor's SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .core.lazy import lazy_names


if TYPE_CHECKING:
    from .app import setup
    from .core.errors import (
        AuthorizationError,
        BrokerUnavailable,
        Cancelled,
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
        SchemaError,
        TimeLimitError,
        TransientError,
        UnknownAdapterError,
        UnknownOutcomeError,
        UnsupportedFeatureError,
    )
    from .core.settings import CoreSettings
    from .engine import budgets, dead_letters, events, jobs, queues, schedule
    from .engine.broker import RedisBroker
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            ".app": ("setup",),
            ".core.errors": (
                "AuthorizationError",
                "BrokerUnavailable",
                "Cancelled",
                "ConfigurationError",
                "ForbiddenUrlError",
                "InternalError",
                "InvalidRequestError",
                "MissingExtraError",
                "MissingToolError",
                "NexusError",
                "PermanentError",
                "Postponed",
                "RejectedError",
                "RemoteUnavailableError",
                "ResourceError",
                "SchemaError",
                "TimeLimitError",
                "TransientError",
                "UnknownAdapterError",
                "UnknownOutcomeError",
                "UnsupportedFeatureError",
            ),
            ".core.settings": ("CoreSettings",),
            ".engine.broker": ("RedisBroker",),
            ".engine.budgets": ("budgets",),
            ".engine.dead_letters": ("dead_letters",),
            ".engine.events": ("events",),
            ".engine.jobs": ("jobs",),
            ".engine.queues": ("queues",),
            ".engine.schedule": ("schedule",),
        },
    )

__all__ = [
    "AuthorizationError",
    "BrokerUnavailable",
    "Cancelled",
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
    "SchemaError",
    "TimeLimitError",
    "TransientError",
    "UnknownAdapterError",
    "UnknownOutcomeError",
    "UnsupportedFeatureError",
    "budgets",
    "dead_letters",
    "events",
    "jobs",
    "queues",
    "schedule",
    "setup",
]
