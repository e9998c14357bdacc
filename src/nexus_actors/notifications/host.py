"""What a host's own code calls beside the actors."""

from __future__ import annotations

from .events import receive_events
from .lists import Preferences, Suppressions
from .signature import sign as sign_webhook
from .signature import verify as verify_webhook
from .unsubscribing import unsubscribe


__all__ = [
    "cancel",
    "preferences",
    "receive_events",
    "sign_webhook",
    "suppressions",
    "unsubscribe",
    "verify_webhook",
]


def cancel(idempotency_key: str) -> bool:
    """Send nothing more of the notifications that were sent with this key.

    Returns:
        Whether nothing of them had been sent, or was being sent, by then.

    Raises:
        NexusError: The database cannot be used.
    """
    from .connect import connect

    done: bool = connect().cancel(idempotency_key)
    return done


def suppressions() -> Suppressions:
    """Return the list of addresses that are not to be used."""
    from .connect import database

    return Suppressions(database())


def preferences() -> Preferences:
    """Return what people want to be told, and how."""
    from .connect import database

    return Preferences(database())
