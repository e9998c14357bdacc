"""The table of publications: one row for each post on one platform.

A row has one holder at a time, who says so with a lease and renews it while it works;
each change names the version that it was made from.  What is written before the
irreversible call, and after it, is in the row itself: no crash can part them.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from nexus_actors.core import clock
from nexus_actors.core.errors import ConfigurationError, Postponed
from nexus_actors.core.keyring import Keyring
from nexus_actors.core.ledger import ClaimLostError

from .errors import UnknownPublicationError
from .models import instant
from .row import (
    EVENTS,
    SEALED,
    SLACK,
    TOLD,
    Phase,
    Publication,
    State,
    columns,
    context_of,
    iso,
    read,
)


if TYPE_CHECKING:
    from nexus_actors.core.database import Database

#: How many notes a publication keeps; the first and the newest tell most.
NOTES: Final = 50


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
            sealed = self.keyring.seal(token, context=context_of(id_))
        claim = {
            "owner": uuid.uuid4().hex,
            "lease_until_ms": now + round(lease_s * 1000),
        }
        begins: dict[str, Any] = {
            "checkpoint": {},
            "publish_at": publish_at,
            "due_at": publish_at or clock.now(),
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
            attempt=None,
            attempts=0,
            failures=0,
            notes=[],
            steps={},
            job=job,
            created_ms=now,
            updated_ms=now,
            **columns(begins, id_, self.keyring),
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
        return read(row, self.keyring)

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
        return [read(row, self.keyring) for row in rows]

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
        return [read(row, self.keyring) for row in rows]

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
        hold = Hold(self, read(row, self.keyring), row["owner"], lease_s)
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
        context = context_of(publication.id)
        return str(self.keyring.unseal(publication.sealed, context=context))


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
            **columns(changes, self.row.id, self.table.keyring),
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
        self.row = read(row, self.table.keyring)

    def _untold(self, event: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the changes by which it is known that *event* is to be told."""
        mark = {
            "event": event,
            "version": self.row.version + 1,
            "done": False,
            "due_at": iso(changes.get("due_at", self.row.due_at)),
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
                **columns(self._staged, self.row.id, self.table.keyring),
            }
        mine = (table.c.id == self.row.id) & (table.c.owner == self.owner)
        query = table.update().where(mine).values(values).returning(*table.c)
        with self.table.database.begin() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is not None:
            self._staged = {}
            self.row = read(row, self.table.keyring)

    def _lost(self) -> ClaimLostError:
        return ClaimLostError(
            f"publication {self.row.id} is no longer this run's: its lease was over, "
            "and somebody else goes on with it"
        )
