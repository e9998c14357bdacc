"""What can go wrong with a notification beside the usual."""

from __future__ import annotations

from nexus_actors.core.errors import PermanentError, RejectedError


class TargetGoneError(RejectedError):
    """The recipient cannot be reached there any more: a dead token, a STOP, a 410."""

    code = "target_gone"


class TemplateError(PermanentError):
    """A template is missing or broken, or lacks a value; nothing was sent."""

    code = "template"


class SignatureError(RejectedError):
    """What arrived is not signed by who it says it is from, or is too old."""

    code = "signature"


class NotDeliveredError(RejectedError):
    """The provider, or every channel that was tried, will not deliver it."""

    code = "not_delivered"
