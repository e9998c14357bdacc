"""The actors of the social domain."""

from __future__ import annotations

from typing import Any, Final

from nexus_actors.engine.actor import actor


#: The queue of all social actors; its name is the original system's.
QUEUE: Final = "social-publishing"

_MODELS: Final = "nexus_actors.social.models"


@actor(
    queue_name=QUEUE,
    request=f"{_MODELS}:PublishPostRequest",
    time_limit=float("inf"),  # every call has limits of its own
)
def publish_post(  # noqa: PLR0913 - what a message may say
    *,
    platform: str,
    content: dict[str, Any],
    account: str | None = None,
    credentials: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    publish_at: str | None = None,
    idempotency_key: str | None = None,
) -> dict[str, Any]:
    """Publish one post on one platform, now or at *publish_at*, exactly once.

    The arguments are those of `PublishPostRequest`; the return value is the
    publication as plain JSON.
    """
    from .connect import publish

    who = {"account": account, "credentials": credentials}
    when = {"publish_at": publish_at, "idempotency_key": idempotency_key}
    return publish({"platform": platform, "content": content, **who, **when}, settings)


@actor(
    queue_name=QUEUE,
    request=f"{_MODELS}:PublicationRequest",
    time_limit=float("inf"),
)
def resume_publication(*, publication: str) -> dict[str, Any]:
    """Go on with a publication: what a sweep, or a person, sends."""
    from .connect import resume

    return resume(publication)


@actor(queue_name=QUEUE, request=f"{_MODELS}:PublicationRequest")
def cancel_post(*, publication: str) -> dict[str, Any]:
    """Cancel a post that is not yet made; by its id or its idempotency key."""
    from .control import cancel

    return cancel(publication)


@actor(queue_name=QUEUE, request=f"{_MODELS}:ReschedulePostRequest")
def reschedule_post(*, publication: str, publish_at: str) -> dict[str, Any]:
    """Give a post that waits for its time another one."""
    from .control import reschedule

    return reschedule(publication, publish_at)


@actor(queue_name=QUEUE, request=f"{_MODELS}:RefreshCredentialsRequest")
def refresh_credentials(
    *, platform: str | None = None, account: str | None = None
) -> dict[str, Any]:
    """Renew the tokens of one account, or of all whose tokens are about to expire."""
    from .sweeps import refresh

    return refresh(platform, account)


@actor(
    queue_name=QUEUE, request=f"{_MODELS}:SweepPublicationsRequest", cron="* * * * *"
)
def sweep_publications() -> dict[str, Any]:
    """Go on with what nobody works on: its alarm, or its worker, was lost."""
    from .sweeps import sweep

    return sweep()


@actor(
    queue_name=QUEUE, request=f"{_MODELS}:SweepCredentialsRequest", cron="*/5 * * * *"
)
def sweep_credentials() -> dict[str, Any]:
    """Renew the tokens that are about to expire."""
    from .sweeps import refresh

    return refresh(None, None)
