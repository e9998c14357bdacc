"""Whom not to notify: addresses that are dead, and people who said no."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from nexus_actors.core import clock

from .content import Channel


if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Executable

    from nexus_actors.core.database import Database

#: Stands for every category.
ALL: Final = ""


class Reason(StrEnum):
    """Why an address is not to be used."""

    HARD_BOUNCE = "hard_bounce"
    COMPLAINT = "complaint"
    UNSUBSCRIBE = "unsubscribe"
    OPT_OUT = "opt_out"
    INVALID = "invalid"
    GONE = "gone"
    MANUAL = "manual"


#: What a person has said, which what is required passes; what is dead stays dead.
SAID: Final = frozenset({Reason.UNSUBSCRIBE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """An address that is not to be used.

    Attributes:
        category: For which notifications; empty is all.
        source: Who has said so, such as ``sendgrid``.
    """

    channel: Channel
    address: str
    reason: Reason
    source: str
    since: datetime
    category: str = ALL


@dataclass(frozen=True, slots=True)
class Suppressions:
    """The list, in the database.

    A mail address is the same in any case; every other is taken as it is.
    """

    database: Database

    def add(
        self,
        channel: Channel,
        address: str,
        reason: Reason,
        *,
        source: str,
        category: str = ALL,
    ) -> None:
        """Use *address* no more; what is already there stays as it is."""
        from nexus_actors.core.tables import suppressions as table

        row = {
            "channel": channel,
            "address": normal(channel, address),
            "category": category,
            "reason": reason,
            "source": source,
            "since_ms": clock.now_ms(),
        }
        query = self.database.insert(table).values(row).on_conflict_do_nothing()
        with self.database.begin() as connection:
            connection.execute(query)

    def remove(self, channel: Channel, address: str, *, category: str = ALL) -> bool:
        """Let *address* be used again; tell whether it was on the list."""
        from nexus_actors.core.tables import suppressions as table

        same = self._same(channel, address) & (table.c.category == category)
        with self.database.begin() as connection:
            return bool(connection.execute(table.delete().where(same)).rowcount)

    def find(
        self, channel: Channel, address: str, *, category: str, required: bool
    ) -> Suppression | None:
        """Return why *address* may not be told of *category*, if it may not."""
        with self.database.read() as connection:
            return self.read(
                connection, channel, address, category=category, required=required
            )

    @staticmethod
    def read(
        connection: Connection,
        channel: Channel,
        address: str,
        *,
        category: str,
        required: bool,
    ) -> Suppression | None:
        """Do as `find` does, within a transaction."""
        values = {
            "channel": channel,
            "address": normal(channel, address),
            "category": category,
        }
        for row in connection.execute(_finding(), values).mappings().all():
            if not (required and Reason(row["reason"]) in SAID):
                return Suppression(
                    channel=channel,
                    address=row["address"],
                    reason=Reason(row["reason"]),
                    source=row["source"],
                    since=clock.from_ms(row["since_ms"]),
                    category=row["category"],
                )
        return None

    def _same(self, channel: Channel, address: str) -> ColumnElement[bool]:
        from nexus_actors.core.tables import suppressions as table

        return (table.c.channel == channel) & (
            table.c.address == normal(channel, address)
        )


@functools.cache
def _finding() -> Executable:
    """Return what reads why an address is not to be used; made once, it is quick."""
    from sqlalchemy import bindparam

    from nexus_actors.core.tables import suppressions as table

    category = table.c.category
    return table.select().where(
        table.c.channel == bindparam("channel"),
        table.c.address == bindparam("address"),
        (category == ALL) | (category == bindparam("category")),
    )


def normal(channel: Channel, address: str) -> str:
    """Return the one form of an address that the list has."""
    return address.casefold() if channel is Channel.EMAIL else address


@dataclass(frozen=True, slots=True)
class Preferences:
    """What people want to be told, and how; in the database."""

    database: Database

    def set(
        self, user_id: str, *, category: str = ALL, channel: str = ALL, wanted: bool
    ) -> None:
        """Note what a person wants of a category by a channel, or of all of them."""
        from nexus_actors.core.tables import preferences as table

        key = {"user_id": user_id, "category": category, "channel": channel}
        told = {"wanted": wanted, "updated_ms": clock.now_ms()}
        query = (
            self.database.insert(table)
            .values(**key, **told)
            .on_conflict_do_update(index_elements=list(key), set_=told)
        )
        with self.database.begin() as connection:
            connection.execute(query)

    def wants(self, user_id: str, *, category: str, channel: Channel) -> bool:
        """Tell whether a person wants it: the narrowest that they have said counts."""
        from nexus_actors.core.tables import preferences as table

        query = table.select().where(
            table.c.user_id == user_id,
            table.c.category.in_([ALL, category]),
            table.c.channel.in_([ALL, channel]),
        )
        with self.database.read() as connection:
            rows = connection.execute(query).mappings().all()
        said = {(row["category"], row["channel"]): bool(row["wanted"]) for row in rows}
        return first(said, category, channel)


def first(said: dict[tuple[str, str], bool], category: str, channel: str) -> bool:
    """Return the narrowest of what was *said*; yes, if nothing was."""
    order: Iterable[tuple[str, str]] = (
        (category, channel),
        (category, ALL),
        (ALL, channel),
        (ALL, ALL),
    )
    return next((said[each] for each in order if each in said), True)
