"""The actors of the notifications domain."""

from __future__ import annotations

from typing import Any, Final

from nexus_actors.engine.actor import actor


#: The queue of all notification actors; its name is the original system's.
QUEUE: Final = "notifications"

#: What a bulk message may take: a thousand calls to a slow vendor, in ms.
BULK_MS: Final = 12 * 3600 * 1000


@actor(
    queue_name=QUEUE,
    request="nexus_actors.notifications.models:SendNotificationRequest",
)
def send_notification(  # noqa: PLR0913 - each a field of the message
    *,
    type: str,  # noqa: A002 - the original system's word
    template: str | None = None,
    template_data: dict[str, Any] | None = None,
    email: dict[str, Any] | None = None,
    sms: dict[str, Any] | None = None,
    push: dict[str, Any] | None = None,
    slack: dict[str, Any] | None = None,
    webhook: dict[str, Any] | None = None,
    user_id: str | None = None,
    category: str | None = None,
    locale: str | None = None,
    zone: str | None = None,
    quiet_hours: list[str] | None = None,
    idempotency_key: str | None = None,
    send_at: str | None = None,
    fallback: list[str] | None = None,
    when_unknown: str | None = None,
    sealed: str | None = None,
) -> dict[str, Any]:
    """Send one notification to one person, once.

    The arguments are those of `SendNotificationRequest`; the return value is a
    `SendNotificationResult` as plain JSON.  *sealed* is never given: it is what the
    private ones become in Redis where ``NEXUS_SECRET_KEY`` is set.
    """
    from . import connect

    return connect.send_notification(_given(locals(), "connect"))


@actor(
    queue_name=QUEUE,
    request="nexus_actors.notifications.models:SendBulkRequest",
    time_limit=BULK_MS,
)
def send_bulk(  # noqa: PLR0913 - each a field of the message
    *,
    type: str,  # noqa: A002 - the original system's word
    template: str,
    recipients: list[dict[str, Any]] | None = None,
    template_data: dict[str, Any] | None = None,
    category: str | None = None,
    idempotency_key: str | None = None,
    send_at: str | None = None,
    fallback: list[str] | None = None,
    when_unknown: str | None = None,
    sealed: str | None = None,
) -> dict[str, Any]:
    """Send one notification to up to a thousand people, each once.

    The arguments are those of `SendBulkRequest`; the return value is a
    `SendBulkResult` as plain JSON.
    """
    from . import connect

    return connect.send_bulk(_given(locals(), "connect"))


def _given(arguments: dict[str, Any], *without: str) -> dict[str, Any]:
    """Return the arguments that were given."""
    return {
        name: value
        for name, value in arguments.items()
        if value is not None and name not in without
    }
