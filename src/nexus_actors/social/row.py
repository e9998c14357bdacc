"""A publication: what its row in the database says, and how that is written there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from nexus_actors.core import clock
from nexus_actors.core.errors import RejectedError
from nexus_actors.core.keyring import Keyring

from .models import DERIVED, PublicationResult


if TYPE_CHECKING:
    from sqlalchemy import RowMapping


class State(StrEnum):
    """What a person is told of a publication."""

    SCHEDULED = "scheduled"
    PUBLISHING = "publishing"
    PROCESSING = "processing"
    PARKED = "parked"
    HELD = "held"
    PUBLISHED = "published"
    AWAITING_USER = "awaiting_user"
    UNCONFIRMED = "unconfirmed"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: What stands in place of a checkpoint that no key opens.
SEALED: Final = "sealed"

#: States in which a sweep goes on with a publication.
ACTIVE: Final = (
    State.SCHEDULED,
    State.PUBLISHING,
    State.PROCESSING,
)

#: The event that tells of a publication that has come to rest: in these states,
#: nothing happens by itself.
EVENTS: Final = {
    State.PUBLISHED: "social.post_published",
    State.AWAITING_USER: "social.draft_delivered",
    State.UNCONFIRMED: "social.post_unconfirmed",
    State.FAILED: "social.post_failed",
    State.HELD: "social.post_held",
    State.PARKED: "social.post_parked",
    State.CANCELLED: "social.post_cancelled",
}
RESTING: Final = tuple(EVENTS)

#: What is told when the public id or the URL of a published post is known later.
LOCATED: Final = "social.post_located"

#: The step of a publication by which it is known whether its event was told.
TOLD: Final = "told"

#: How long after what should have happened a sweep sees to it.
SLACK: Final = timedelta(seconds=15)


class Phase(StrEnum):
    """Which step comes next."""

    PREPARE = "prepare"
    TRANSFER = "transfer"
    COMMIT = "commit"
    CONFIRM = "confirm"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A post on one platform, as its row says.

    Attributes:
        key: The idempotency key.
        account: None where the message brought the credentials.
        request: What is to be posted, and how; no secrets.
        sealed: The credentials of the message, encrypted; None without a key for that.
        checkpoint: What the adapter has noted on the way, such as an upload's address.
        attempt: The irreversible call that is under way: its number and ``at``.
        attempts: How many such calls there were.
        failures: How many runs in a row have failed for a reason that may pass.
        remote_id: The platform's name for the post, or what it will be found by.
        error: Why it is in its state, where that is no good one.
        notes: What was seen, the oldest first.
        steps: What became of what is done beside the post: thumbnail, captions, and
            the event that tells of it.
        publish_at: When it shall be published; None is at once.
        due_at: When a sweep looks at it.
        job: The message that works on it, or waits for its time.
    """

    id: str
    key: str
    platform: str
    account: str | None
    state: State
    phase: Phase
    version: int
    owner: str | None
    lease_until: datetime
    request: dict[str, Any]
    sealed: str | None = field(repr=False)
    checkpoint: dict[str, Any] = field(repr=False)
    attempt: dict[str, Any] | None
    attempts: int
    failures: int
    remote_id: str | None
    url: str | None
    error: dict[str, Any] | None
    notes: list[dict[str, Any]]
    steps: dict[str, Any]
    publish_at: datetime | None
    due_at: datetime | None
    job: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def idempotency_key(self) -> str | None:
        """The host's own name for the post, if it gave one."""
        name = self.key.removeprefix(f"{self.platform}:")
        return None if name.startswith(DERIVED) else name

    @property
    def untold(self) -> dict[str, Any] | None:
        """The ``event`` that is still to be told, and since which ``version``."""
        mark: dict[str, Any] | None = self.steps.get(TOLD)
        return None if mark is None or mark["done"] else mark

    def to_json(self) -> dict[str, Any]:
        """Return what a host or a person is told: no secrets, no upload addresses."""
        return PublicationResult(
            id=self.id,
            key=self.key,
            platform=self.platform,
            account=self.account,
            state=self.state,
            phase=self.phase,
            remote_id=self.remote_id,
            url=self.url,
            error=self.error,
            attempts=self.attempts,
            notes=tuple(self.notes),
            steps={name: s for name, s in self.steps.items() if name != TOLD},
            publish_at=iso(self.publish_at),
            created_at=self.created_at.isoformat(),
            updated_at=self.updated_at.isoformat(),
        ).to_json()


def refuse_unless(publication: Publication, *states: State, to: str) -> None:
    """Check that a publication is in one of *states*.

    Raises:
        RejectedError: It is in another one.
    """
    if publication.state not in states:
        wanted = ", ".join(states)
        raise RejectedError(
            f"publication {publication.id} is {publication.state}: only one that is "
            f"{wanted} can be {to}",
            code="wrong_state",
        )


def read(row: RowMapping, keyring: Keyring | None) -> Publication:
    """Return the publication that a row is; *keyring* opens what is sealed in it."""
    return Publication(
        id=row["id"],
        key=row["key"],
        platform=row["platform"],
        account=row["account"],
        state=State(row["state"]),
        phase=Phase(row["phase"]),
        version=row["version"],
        owner=row["owner"],
        lease_until=clock.from_ms(row["lease_until_ms"]),
        request=row["request"],
        sealed=row["sealed"],
        checkpoint=_opened(row["checkpoint"], row["id"], keyring),
        attempt=row["attempt"],
        attempts=row["attempts"],
        failures=row["failures"],
        remote_id=row["remote_id"],
        url=row["url"],
        error=row["error"],
        notes=row["notes"],
        steps=row["steps"],
        publish_at=_instant(row["publish_ms"]),
        due_at=_instant(row["due_ms"]),
        job=row["job"],
        created_at=clock.from_ms(row["created_ms"]),
        updated_at=clock.from_ms(row["updated_ms"]),
    )


def columns(
    changes: Mapping[str, Any], id_: str, keyring: Keyring | None
) -> dict[str, Any]:
    """Return what *changes* of the publication *id_* are in its row."""
    found = dict(changes)
    for name in ("publish_at", "due_at"):
        if name in found:
            at = found.pop(name)
            found[f"{name[:-3]}_ms"] = None if at is None else clock.to_ms(at)
    if "checkpoint" in found:  # the addresses in it authorise uploads
        noted = dict(found["checkpoint"])
        sealed = keyring and keyring.seal(noted, context=context_of(id_))
        found["checkpoint"] = sealed or json.dumps(noted)
    return found


def context_of(id_: str) -> str:
    """Return where alone what is sealed for a publication can be opened."""
    return f"publication {id_}"


def iso(at: datetime | None) -> str | None:
    """Return a time as text."""
    return None if at is None else at.isoformat()


def _opened(text: str, id_: str, keyring: Keyring | None) -> dict[str, Any]:
    found: dict[str, Any]
    if text.startswith("{"):
        found = json.loads(text)
    elif keyring is None:
        return {SEALED: True}  # what only tells of it needs no key
    else:
        found = keyring.unseal(text, context=context_of(id_))
    return found


def _instant(ms: int | None) -> datetime | None:
    return None if ms is None else clock.from_ms(ms)
