"""The ledger of calls that cannot be taken back: claim, call, settle.

::

    claimed ──> calling ──> settled        what came of the call is known
       │  ^        │ └────> unknown        whoever called died, or heard no answer
       v  │        v           │
     released <────┴───────────┘           certainly not done: may be claimed again

Who holds an entry says so before the call, in the database.  A crash before that is
harmless, and the entry can be claimed again when its lease is over; a crash after it
leaves ``unknown``, and the call is never made again until a look at the vendor's side,
or a person, has told what happened.
"""

from __future__ import annotations

import contextlib
import functools
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from . import clock
from .errors import Postponed, RejectedError, TransientError
from .logs import get_logger


if TYPE_CHECKING:
    from sqlalchemy import Connection, Executable, RowMapping

    from .database import Database

log = get_logger(__name__)

T = TypeVar("T")


class State(StrEnum):
    """How far an entry is."""

    CLAIMED = "claimed"
    CALLING = "calling"
    SETTLED = "settled"
    UNKNOWN = "unknown"
    RELEASED = "released"


#: Where nobody but the holder may change anything.
HELD: Final = (State.CLAIMED, State.CALLING)

#: Where nothing has been decided.
OPEN: Final = (*HELD, State.RELEASED)

#: By which an owner finds its entry.
MINE: Final = ("scope", "key", "owner")


class ClaimLostError(TransientError):
    """The lease was over and somebody else went on; the next run sees how."""

    code = "claim_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the ledger says of one call.

    Attributes:
        scope: Whose calls, such as ``publication``.
        key: Which call; an idempotency key.
        owner: Of the latest claim; no two claims have the same.
        attempt: How many claims there were.
        outcome: Once it is settled, the caller's word for what came of it.
        evidence: What has been noted on the way; JSON, no secrets.
    """

    scope: str
    key: str
    state: State
    owner: str
    lease_until: datetime
    attempt: int
    outcome: str | None
    evidence: dict[str, Any]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def from_row(cls, row: RowMapping) -> Entry:
        """Read a row of the table."""
        return cls(
            scope=row["scope"],
            key=row["key"],
            state=State(row["state"]),
            owner=row["owner"],
            lease_until=clock.from_ms(row["lease_until_ms"]),
            attempt=row["attempt"],
            outcome=row["outcome"],
            evidence=row["evidence"],
            created_at=clock.from_ms(row["created_ms"]),
            updated_at=clock.from_ms(row["updated_ms"]),
        )


@dataclass(frozen=True, slots=True)
class Ledger:
    """The entries of one *scope*."""

    database: Database
    scope: str

    def claim(
        self,
        key: str,
        *,
        lease_s: float,
        calling: Mapping[str, Any] | None = None,
        unless: Callable[[Connection], T | None] = lambda _: None,
    ) -> Claim | Entry | T:
        """Take *key* for *lease_s* seconds, or return what has become of it.

        Args:
            key: Which call.
            lease_s: For how long, in seconds.
            calling: Evidence: the call is made at once, without `begin_call`, which
                saves a commit.  A crash between the two then counts as one in the call.
            unless: Asked first, in the same transaction: a reason to claim nothing.

        Returns:
            The claim; or the entry, which is settled or unknown: the call must not be
            made again; or the reason.

        Raises:
            Postponed: Somebody else holds it, until their lease is over.
        """

        def take(connection: Connection) -> Claim | Entry | T | None:
            reason = unless(connection)
            if reason is not None:
                return reason
            taken = self._take(connection, key, lease_s, calling)
            if taken:
                return Claim(self.database, taken, lease_s)
            self._give_up_dead_calls(connection, key)
            return self._get(connection, key)

        found = self.database.write(take)
        if found is None or (isinstance(found, Entry) and found.state in OPEN):
            held = found and found.state in HELD  # else it was released this moment
            until = found.lease_until if found and held else clock.now()
            raise Postponed(f"{key!r} is being worked on", until=until)
        return found

    def get(self, key: str) -> Entry | None:
        """Return the entry of *key*, if there is one, as it is written."""
        with self.database.read() as connection:
            return self._get(connection, key)

    def unknown(self, limit: int = 100) -> list[Entry]:
        """Return the calls of which nobody knows what came, the oldest first.

        Those whose owner has died are found here; call it from a sweep.
        """
        from .tables import ledger as table

        query = (
            table.select()
            .where(table.c.scope == self.scope, table.c.state == State.UNKNOWN)
            .order_by(table.c.updated_ms)
            .limit(limit)
        )
        with self.database.begin() as connection:
            self._give_up_dead_calls(connection)
            rows = connection.execute(query).mappings().all()
        return [Entry.from_row(row) for row in rows]

    def resolve(
        self, key: str, outcome: str, *, by: str, evidence: Mapping[str, Any]
    ) -> Entry:
        """Settle an unknown call: the vendor's side, or a person, told what came of it.

        Raises:
            RejectedError: Its outcome is not unknown.
        """
        return self._end_unknown(
            key, by, evidence, state=State.SETTLED, outcome=outcome
        )

    def reopen(self, key: str, *, by: str, evidence: Mapping[str, Any]) -> Entry:
        """Let an unknown call be made again: it has certainly not happened.

        Raises:
            RejectedError: Its outcome is not unknown.
        """
        return self._end_unknown(key, by, evidence, state=State.RELEASED)

    def _end_unknown(
        self, key: str, by: str, evidence: Mapping[str, Any], **changes: Any
    ) -> Entry:
        with self.database.begin() as connection:
            self._give_up_dead_calls(connection, key)
        entry = self.get(key)
        if entry is None or entry.state is not State.UNKNOWN:
            state = entry.state if entry else "not in the ledger"
            raise RejectedError(f"{key!r} is {state}: only an unknown call can be told")
        told = {**evidence, "resolved_by": by}
        return _move(self.database, entry, (State.UNKNOWN,), told, **changes)

    def _take(
        self,
        connection: Connection,
        key: str,
        lease_s: float,
        calling: Mapping[str, Any] | None,
    ) -> Entry | None:
        now = clock.now_ms()
        values = {
            "scope": self.scope,
            "key": key,
            "state": State.CLAIMED if calling is None else State.CALLING,
            "owner": uuid.uuid4().hex,
            "lease_until_ms": now + round(lease_s * 1000),
            "attempt": 1,
            "evidence": dict(calling or {}),
            "created_ms": now,
            "updated_ms": now,
        }
        on_sqlite = self.database.path is not None
        query = _taking(on_sqlite=on_sqlite, is_called=calling is not None)
        row = connection.execute(query, values).mappings().one_or_none()
        return Entry.from_row(row) if row else None

    def _get(self, connection: Connection, key: str) -> Entry | None:
        values = {"scope": self.scope, "key": key}
        row = connection.execute(_looking(), values).mappings().one_or_none()
        return Entry.from_row(row) if row else None

    def _give_up_dead_calls(
        self, connection: Connection, key: str | None = None
    ) -> None:
        """Mark calls as unknown whose lease is over: their owner has died."""
        from .tables import ledger as table

        now = clock.now_ms()
        dead = (
            (table.c.scope == self.scope)
            & (table.c.state == State.CALLING)
            & (table.c.lease_until_ms <= now)
        )
        if key is not None:
            dead &= table.c.key == key
        connection.execute(
            table.update().where(dead).values(state=State.UNKNOWN, updated_ms=now)
        )


@dataclass(slots=True)
class Claim:
    """The right to make one call; as a context manager it never stays half done.

    Left before the call began, it is released; left after it without an outcome, it
    is unknown, whatever the reason::

        with claim:
            request = prepare()
            claim.begin_call()
            answer = send(request)
            claim.settle("accepted", {"provider_id": answer.id})
    """

    database: Database
    entry: Entry
    lease_s: float

    def renew(self) -> None:
        """Hold it for another lease from now on.

        Raises:
            ClaimLostError: It was over, and somebody else has it.
        """
        self._move(HELD, lease_s=self.lease_s)

    def begin_call(self, evidence: Mapping[str, Any] | None = None) -> None:
        """Note that the call is about to be made; the lease begins anew.

        Raises:
            ClaimLostError: The lease was over, and somebody else has it.
        """
        self._move(
            (State.CLAIMED,),
            evidence,
            state=State.CALLING,
            lease_s=self.lease_s,
        )

    def settle(self, outcome: str, evidence: Mapping[str, Any] | None = None) -> None:
        """Note what came of the call.

        It is believed even when the lease is over, as long as nobody has resolved it.

        Raises:
            ClaimLostError: Somebody else has claimed or resolved it.
        """
        known = (State.CLAIMED, State.CALLING, State.UNKNOWN)
        self._move(known, evidence, state=State.SETTLED, outcome=outcome)

    def release(self, evidence: Mapping[str, Any] | None = None) -> None:
        """Give it back: the call has certainly not been made, or was not accepted.

        Raises:
            ClaimLostError: Somebody else has claimed or resolved it.
        """
        self._move(HELD, evidence, state=State.RELEASED)

    def doubt(self, evidence: Mapping[str, Any] | None = None) -> None:
        """Note that nobody knows what came of the call.

        Raises:
            ClaimLostError: Somebody else has claimed or resolved it.
        """
        self._move((State.CALLING,), evidence, state=State.UNKNOWN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # What cannot be written here becomes true by itself when the lease is over.
        with contextlib.suppress(TransientError):
            if self.entry.state is State.CLAIMED:
                self.release()
            elif self.entry.state is State.CALLING:
                reason = kind.__name__ if kind else "left without an outcome"
                self.doubt({"reason": reason})
                log.warning("ledger.outcome_unknown", key=self.entry.key, reason=reason)

    def _move(
        self,
        allowed: tuple[State, ...],
        evidence: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        self.entry = _move(
            self.database, self.entry, allowed, evidence or {}, **changes
        )


def _move(
    database: Database,
    entry: Entry,
    allowed: tuple[State, ...],
    evidence: Mapping[str, Any],
    *,
    lease_s: float | None = None,
    **changes: Any,
) -> Entry:
    """Change what *entry* says if it is still this owner's and in a state *allowed*."""

    def write(connection: Connection) -> Any:
        now = clock.now_ms()  # and not before: the turn to write may come late
        if lease_s is not None:
            changes["lease_until_ms"] = now + round(lease_s * 1000)
        told = changes | {
            "evidence": {**entry.evidence, **evidence},
            "updated_ms": now,
        }
        values = {f"new_{name}": value for name, value in told.items()}
        values |= {f"my_{name}": getattr(entry, name) for name in MINE}
        query = _moving(allowed, tuple(told))
        return connection.execute(query, values).mappings().one_or_none()

    row = database.write(write)
    if row is None:
        raise ClaimLostError(
            f"{entry.key!r} is no longer this run's: its lease was over, and somebody "
            "else has claimed or resolved it"
        )
    return Entry.from_row(row)


# The statements, each made once: that takes longer than running one.


@functools.cache
def _taking(*, on_sqlite: bool, is_called: bool) -> Executable:
    """Return what takes an entry that is new, free or abandoned."""
    from sqlalchemy.dialects import postgresql, sqlite

    from .tables import ledger as table

    query: sqlite.Insert | postgresql.Insert = (
        sqlite.insert(table) if on_sqlite else postgresql.insert(table)
    )
    new = query.excluded
    names = ["state", "owner", "lease_until_ms", "updated_ms"]
    if is_called:
        names.append("evidence")
    taken = {name: new[name] for name in names}
    is_over = table.c.lease_until_ms <= new.updated_ms
    return query.on_conflict_do_update(
        index_elements=[table.c.scope, table.c.key],
        set_={**taken, "attempt": table.c.attempt + 1},
        where=(table.c.state == State.RELEASED)
        | ((table.c.state == State.CLAIMED) & is_over),
    ).returning(*table.c)


@functools.cache
def _looking() -> Executable:
    """Return what reads an entry."""
    from sqlalchemy import bindparam

    from .tables import ledger as table

    return table.select().where(
        table.c.scope == bindparam("scope"), table.c.key == bindparam("key")
    )


@functools.cache
def _moving(allowed: tuple[State, ...], names: tuple[str, ...]) -> Executable:
    """Return what changes columns of this owner's entry in a state of *allowed*."""
    from sqlalchemy import bindparam

    from .tables import ledger as table

    mine = [table.c[name] == bindparam(f"my_{name}") for name in MINE]
    changes = {
        name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names
    }
    return (
        table.update()
        .where(*mine, table.c.state.in_(allowed))
        .values(changes)
        .returning(*table.c)
    )
