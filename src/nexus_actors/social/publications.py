"""Publications in the database: one row for each post on one platform.

A row has one holder at a time, who says so with a lease and renews it while it works;
each change names the version that it was made from.  What is written before the
irreversible call, and after it, is in the row itself: no crash can part them.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    ConfigurationError,
    Postponed,
    RejectedError,
)
from nexus_actors.core.keyring import Keyring
from nexus_actors.core.ledger import ClaimLostError
from nexus_actors.core.logs import get_logger

from .errors import UnknownPublicationError
from .models import PublicationResult, instant


if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from nexus_actors.core.database import Database

log = get_logger(__name__)

#: How many notes a publication keeps; the first and the newest tell most.
NOTES: Final = 50


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
            publish_at=_iso(self.publish_at),
            created_at=self.created_at.isoformat(),
            updated_at=self.updated_at.isoformat(),
        ).to_json()


@dataclass(frozen=True, slots=True)
class Publications:
    """The table.

    Attributes:
        keyring: Seals what may not stand there in clear; None where no key is set.
    """

    database: Database
    keyring: Keyring | None

    def take(  # noqa: PLR0913 - what a publication begins with
        self,
        *,
        key: str,
        platform: str,
        account: str | None,
        request: Mapping[str, Any],
        token: str | None,
        publish_at: datetime | None,
        job: str | None,
        lease_s: float,
    ) -> Hold:
        """Take the right to change the publication of *key*; make it if there is none.

        Raises:
            Postponed: Somebody else has it, until their lease is over.
        """
        from sqlalchemy import func

        from nexus_actors.core.tables import publications as table

        now, id_ = clock.now_ms(), uuid.uuid4().hex
        sealed = None
        if token is not None and self.keyring is not None:
            sealed = self.keyring.seal(token, context=_context(id_))
        claim = {
            "owner": uuid.uuid4().hex,
            "lease_until_ms": now + round(lease_s * 1000),
        }
        made = self.database.insert(table).values(
            id=id_,
            key=key,
            platform=platform,
            account=account,
            state=State.SCHEDULED if publish_at else State.PUBLISHING,
            phase=Phase.PREPARE,
            version=1,
            request=dict(request),
            sealed=sealed,
            checkpoint=self._closed({}, id_),
            attempt=None,
            attempts=0,
            failures=0,
            notes=[],
            steps={},
            publish_ms=_ms(publish_at),
            due_ms=_ms(publish_at) or now,
            job=job,
            created_ms=now,
            updated_ms=now,
            **claim,
        )
        query = made.on_conflict_do_update(
            index_elements=[table.c.key],
            set_={**claim, "job": func.coalesce(made.excluded.job, table.c.job)},
            where=table.c.lease_until_ms <= now,
        ).returning(*table.c)
        return self._claim(query, key, lease_s)

    def get(self, id_: str) -> Publication:
        """Return the publication of that id, or of that idempotency key.

        Raises:
            UnknownPublicationError: There is none.
        """
        from nexus_actors.core.tables import publications as table

        query = table.select().where((table.c.id == id_) | (table.c.key == id_))
        with self.database.read() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            raise UnknownPublicationError(f"no publication {id_!r} is known")
        return self._read(row)

    def newest(
        self,
        *,
        state: State | None = None,
        platform: str | None = None,
        account: str | None = None,
        limit: int = 100,
    ) -> list[Publication]:
        """Return the newest publications of which all that is given holds."""
        from nexus_actors.core.tables import publications as table

        query = table.select().order_by(table.c.created_ms.desc()).limit(limit)
        wanted = {"state": state, "platform": platform, "account": account}
        for name, value in wanted.items():
            if value is not None:
                query = query.where(table.c[name] == value)
        with self.database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [self._read(row) for row in rows]

    def due(self, limit: int = 100) -> list[Publication]:
        """Return those that nobody works on although their time has come."""
        from nexus_actors.core.tables import publications as table

        now = clock.now_ms()
        query = (
            table.select()
            .where(
                table.c.due_ms <= now,
                table.c.lease_until_ms <= now,
            )
            .order_by(table.c.due_ms)
            .limit(limit)
        )
        with self.database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [self._read(row) for row in rows]

    def hold(self, id_: str, *, lease_s: float) -> Hold:
        """Take the right to change a publication.

        Raises:
            Postponed: Somebody else has it, until their lease is over.
            UnknownPublicationError: There is none.
        """
        from nexus_actors.core.tables import publications as table

        now, owner = clock.now_ms(), uuid.uuid4().hex
        query = (
            table.update()
            .where(table.c.id == id_, table.c.lease_until_ms <= now)
            .values(owner=owner, lease_until_ms=now + round(lease_s * 1000))
            .returning(*table.c)
        )
        return self._claim(query, id_, lease_s)

    def _claim(self, query: Any, name: str, lease_s: float) -> Hold:
        with self.database.begin() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            held = self.get(name)
            raise Postponed(
                f"publication {held.id} is being worked on",
                code="held",
                until=held.lease_until,
            )
        hold = Hold(self, self._read(row), row["owner"], lease_s)
        if SEALED in hold.row.checkpoint:
            hold.release()
            raise ConfigurationError(
                f"what publication {hold.row.id} has noted is sealed, and "
                "NEXUS_SECRET_KEY is not set: set it"
            )
        return hold

    def token(self, publication: Publication) -> str | None:
        """Return the token that the message brought, if it could be kept."""
        if publication.sealed is None or self.keyring is None:
            return None
        context = _context(publication.id)
        return str(self.keyring.unseal(publication.sealed, context=context))

    def _read(self, row: RowMapping) -> Publication:
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
            checkpoint=self._opened(row["checkpoint"], row["id"]),
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

    def _closed(self, checkpoint: Mapping[str, Any], id_: str) -> str:
        """Return a checkpoint as it may be stored: its addresses authorise uploads."""
        if self.keyring is None:
            return json.dumps(dict(checkpoint))
        return self.keyring.seal(dict(checkpoint), context=_context(id_))

    def _opened(self, text: str, id_: str) -> dict[str, Any]:
        found: dict[str, Any]
        if text.startswith("{"):
            found = json.loads(text)
        elif self.keyring is None:
            return {SEALED: True}  # what only tells of it needs no key
        else:
            found = self.keyring.unseal(text, context=_context(id_))
        return found


@dataclass(slots=True)
class Hold:
    """The right to change one publication, as long as it is renewed."""

    table: Publications
    row: Publication
    owner: str
    lease_s: float
    _staged: dict[str, Any] = field(default_factory=dict, init=False)

    def stage(self, **changes: Any) -> None:
        """Change the row with the next write, or when it is given back.

        For what is no loss if that does not come: another run finds it out again.
        """
        self._staged |= changes
        self.row = replace(self.row, **changes)

    def write(self, *, tells: str | None = None, **changes: Any) -> None:
        """Change what the row says; times are given as such, the lease begins anew.

        Args:
            tells: The event that is to be told of it; of a state in which it rests,
                that of `EVENTS`.  Until `told`, a sweep sees to it.
            changes: Columns, and what they hold from now on.

        Raises:
            ClaimLostError: The lease was over, and somebody else has it.
        """
        from nexus_actors.core.tables import publications as table

        now = clock.now_ms()
        changes = {**self._staged, **changes}
        if event := tells or EVENTS.get(changes.get("state", State.SCHEDULED)):
            changes |= self._untold(event, changes)
        values = {
            "version": self.row.version + 1,
            "updated_ms": now,
            "lease_until_ms": now + round(self.lease_s * 1000),
            **self._columns(changes),
        }
        query = (
            table.update()
            .where(
                table.c.id == self.row.id,
                table.c.owner == self.owner,
                table.c.version == self.row.version,
            )
            .values(**values)
            .returning(*table.c)
        )
        with self.table.database.begin() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise self._lost()
        self._staged = {}
        self.row = self.table._read(row)  # noqa: SLF001 - its other half

    def _untold(self, event: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the changes by which it is known that *event* is to be told."""
        mark = {
            "event": event,
            "version": self.row.version + 1,
            "done": False,
            "due_at": _iso(changes.get("due_at", self.row.due_at)),
        }
        steps = changes.get("steps", self.row.steps)
        return {"steps": {**steps, TOLD: mark}, "due_at": clock.now() + SLACK}

    def told(self) -> None:
        """Note that the event of the row was told; written when it is given back."""
        mark = dict(self.row.untold or {})
        due = instant(mark.pop("due_at"))
        self.stage(steps={**self.row.steps, TOLD: mark | {"done": True}}, due_at=due)

    def note(self, what: str, **seen: Any) -> list[dict[str, Any]]:
        """Return the notes with one more, to be written with what follows of it."""
        told = {"at": clock.now().isoformat(), "what": what, **seen}
        notes = [*self.row.notes, told]
        return notes[:5] + notes[5:][-(NOTES - 5) :]

    def renew(self) -> None:
        """Hold it for another lease from now on, if most of this one is over.

        Raises:
            ClaimLostError: It was over, and somebody else has it.
        """
        from nexus_actors.core.tables import publications as table

        now, left = clock.now_ms(), self.row.lease_until - clock.now()
        if left.total_seconds() > self.lease_s * 0.7:
            return
        until = now + round(self.lease_s * 1000)
        mine = (table.c.id == self.row.id) & (table.c.owner == self.owner)
        query = (
            table.update().where(mine).values(lease_until_ms=until).returning(*table.c)
        )
        with self.table.database.begin() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise self._lost()
        self.row = replace(self.row, lease_until=clock.from_ms(until))

    def release(self) -> None:
        """Give it back, with what is staged."""
        from nexus_actors.core.tables import publications as table

        values: dict[str, Any] = {"owner": None, "lease_until_ms": 0}
        if self._staged:
            values |= {
                "version": self.row.version + 1,
                "updated_ms": clock.now_ms(),
                **self._columns(self._staged),
            }
        mine = (table.c.id == self.row.id) & (table.c.owner == self.owner)
        query = table.update().where(mine).values(values).returning(*table.c)
        with self.table.database.begin() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is not None:
            self._staged = {}
            self.row = self.table._read(row)  # noqa: SLF001 - its other half

    def _columns(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        columns = dict(changes)
        for name in ("publish_at", "due_at"):
            if name in columns:
                columns[f"{name[:-3]}_ms"] = _ms(columns.pop(name))
        if "checkpoint" in columns:
            text = self.table._closed(columns["checkpoint"], self.row.id)  # noqa: SLF001 - its other half
            columns["checkpoint"] = text
        return columns

    def _lost(self) -> ClaimLostError:
        return ClaimLostError(
            f"publication {self.row.id} is no longer this run's: its lease was over, "
            "and somebody else goes on with it"
        )


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


def _context(id_: str) -> str:
    return f"publication {id_}"


def _ms(at: datetime | None) -> int | None:
    return None if at is None else clock.to_ms(at)


def _instant(ms: int | None) -> datetime | None:
    return None if ms is None else clock.from_ms(ms)


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
