"""Every error that this library raises.

NexusError
├── PermanentError             never retried; the message is dead-lettered
│   ├── ConfigurationError
│   │   ├── MissingExtraError  (also ImportError)
│   │   ├── MissingToolError   a program such as ffmpeg is not installed
│   │   ├── SchemaError        the database is kept as another release does
│   │   └── UnknownAdapterError
│   ├── InvalidRequestError    (also ValueError) the message can never be right
│   │   └── UnsupportedFeatureError
│   ├── AuthorizationError     the other end does not know us, or we may not do this
│   ├── RejectedError          what was asked for was looked at and refused
│   │   └── ForbiddenUrlError  a URL that a user supplied leads where it must not
│   └── InternalError          a fault of ours: report it
├── TransientError             retried by the broker with backoff
│   ├── RemoteUnavailableError
│   │   └── BrokerUnavailable  (also ConnectionError) Redis does not answer
│   ├── ResourceError          disk, memory or processor of this machine ran out
│   └── TimeLimitError         the job took longer than it may
├── Postponed                  run again at a time; costs no attempt
├── Cancelled                  somebody does not want the job any more
└── UnknownOutcomeError        an irreversible call may have happened: reconcile

The first fork is the question that the queue asks, and the only one that it asks.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any


class NexusError(Exception):
    """The root of the tree.

    Attributes:
        code: A short machine-readable word, stable between releases.
        details: What a person debugging may want to see beside the message;
            JSON values, no secrets.
    """

    code = "error"

    def __init__(
        self, message: str, /, *, code: str | None = None, **details: Any
    ) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.details = details

    @property
    def message(self) -> str:
        """The one line that says what is wrong and what to do."""
        return str(self.args[0])

    @property
    def retryable(self) -> bool:
        """Whether trying the same thing again may help."""
        return not isinstance(self, PermanentError | UnknownOutcomeError | Cancelled)


class PermanentError(NexusError):
    """Trying again cannot help."""

    code = "permanent"


class ConfigurationError(PermanentError):
    """A setting is missing or malformed."""

    code = "configuration"


class MissingExtraError(ConfigurationError, ImportError):
    """An optional Python package is not installed."""

    code = "missing_extra"

    def __init__(self, needed_for: str, extra: str) -> None:
        super().__init__(f'{needed_for} needs: pip install "nexus-actors[{extra}]"')


class MissingToolError(ConfigurationError):
    """A program or shared library of the system is not installed."""

    code = "missing_tool"


class SchemaError(ConfigurationError):
    """The database has a schema that this release does not work with.

    A job that meets it waits: it may be another worker's, or somebody upgrades it.
    """

    code = "schema"


class UnknownAdapterError(ConfigurationError):
    """No adapter is registered under that name."""

    code = "unknown_adapter"


class InvalidRequestError(PermanentError, ValueError):
    """A message whose shape can never be right; names each wrong field."""

    code = "invalid_request"


class UnsupportedFeatureError(InvalidRequestError):
    """What was asked for cannot be expressed to this adapter or broker."""

    code = "unsupported_feature"


class AuthorizationError(PermanentError):
    """The credentials are missing, expired, revoked, or do not reach so far."""

    code = "authorization"


class RejectedError(PermanentError):
    """What was asked for was looked at and refused."""

    code = "rejected"


class ForbiddenUrlError(RejectedError):
    """A URL that a user supplied is malformed, or leads to what is not public."""

    code = "forbidden_url"


class InternalError(PermanentError):
    """A fault of this library; trying again would only repeat it."""

    code = "internal"


class TransientError(NexusError):
    """Trying again later may help."""

    code = "transient"


class RemoteUnavailableError(TransientError):
    """A service on the other end of a connection does not answer."""

    code = "remote_unavailable"


class BrokerUnavailable(RemoteUnavailableError, ConnectionError):  # noqa: N818 - design name
    """The queue's server does not answer; sending again is safe."""

    code = "broker_unavailable"


class ResourceError(TransientError):
    """This machine ran out of something: disk, memory, time."""

    code = "resource"


class TimeLimitError(TransientError):
    """The job took longer than the ``time_limit`` of its actor, or of its message."""

    code = "time_limit"


class Cancelled(NexusError):  # noqa: N818 - not an error, a decision
    """The job was cancelled while it ran: it ends, and is not run again."""

    code = "cancelled"


class Postponed(NexusError):  # noqa: N818 - not an error, a decision
    """Not now: run again at *until* (UTC); this run does not count as an attempt."""

    code = "postponed"

    def __init__(self, reason: str, /, *, until: datetime, **details: Any) -> None:
        super().__init__(reason, **details)
        self.until = until


class UnknownOutcomeError(NexusError):
    """An irreversible call may or may not have happened; never tried again blindly."""

    code = "unknown_outcome"
