"""Accounts on platforms and the credentials that act for them.

A host that keeps tokens of its own gives us a `CredentialStore`; else they are in the
database, sealed with ``NEXUS_SECRET_KEY``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from . import clock
from .errors import PermanentError, TransientError
from .keyring import Keyring, Secret


if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, RowMapping

    from .database import Database


class AccountState(StrEnum):
    """Whether an account can be acted for."""

    ACTIVE = "active"
    NEEDS_REAUTHORIZATION = "needs_reauthorization"
    REVOKED = "revoked"


class UnknownAccountError(PermanentError):
    """There is no such account in the store."""

    code = "unknown_account"


class StaleAccountError(TransientError):
    """The account has changed since it was read: read it again, and decide again."""

    code = "stale_account"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """The tokens of an account, and what they are good for."""

    access_token: Secret
    refresh_token: Secret | None = None
    kind: str = "bearer"
    scopes: frozenset[str] = frozenset()
    obtained_at: datetime
    expires_at: datetime | None = None
    refresh_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A creator's identity on a platform.

    Attributes:
        version: Goes up with each change; what was read with an older one is stale.
        credential: None once the account is revoked.
        reason: Why it is in its state, where that is not active.
    """

    platform: str
    account: str
    state: AccountState
    version: int
    credential: Credential | None
    reason: str | None = None


class CredentialStore(ABC):
    """Where accounts are kept.

    Every change but `put` names the account as it was seen, and is refused if another
    has come in between: of two refreshes, or a refresh and a mark, one wins.
    """

    @abstractmethod
    def get(self, platform: str, account: str) -> Account:
        """Return the account.

        Raises:
            UnknownAccountError: There is none.
        """

    @abstractmethod
    def put(self, platform: str, account: str, credential: Credential) -> Account:
        """Connect an account, or connect it again: it is active from now on."""

    @abstractmethod
    def renew(self, seen: Account, credential: Credential) -> Account:
        """Replace the credential of an account; it is active from now on.

        Raises:
            StaleAccountError: It has changed since it was *seen*.
        """

    @abstractmethod
    def mark(self, seen: Account, state: AccountState, reason: str) -> Account:
        """Change the state of an account; a revoked one loses its credential.

        Raises:
            StaleAccountError: It has changed since it was *seen*.
        """

    @abstractmethod
    def accounts(
        self,
        *,
        platform: str | None = None,
        state: AccountState | None = None,
        expires_before: datetime | None = None,
    ) -> list[Account]:
        """Return the accounts of which all that is given holds, by platform and id."""


@dataclass(frozen=True, slots=True)
class DatabaseCredentialStore(CredentialStore):
    """Accounts in the database; no token is written there in clear."""

    database: Database
    keyring: Keyring

    @override
    def get(self, platform: str, account: str) -> Account:
        from .tables import accounts as table

        query = table.select().where(_same(platform, account))
        with self.database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise UnknownAccountError(
                f"no account {account!r} on {platform} is known: connect it first"
            )
        return self._read(row)

    @override
    def put(self, platform: str, account: str, credential: Credential) -> Account:
        from .tables import accounts as table

        now = clock.now_ms()
        told = {
            "state": AccountState.ACTIVE,
            "reason": None,
            "updated_ms": now,
            **self._columns(platform, account, credential),
        }
        query = (
            self.database.insert(table)
            .values(
                platform=platform, account=account, version=1, created_ms=now, **told
            )
            .on_conflict_do_update(
                index_elements=[table.c.platform, table.c.account],
                set_={**told, "version": table.c.version + 1},
            )
            .returning(*table.c)
        )
        with self.database.begin() as connection:
            return self._read(connection.execute(query).mappings().one())

    @override
    def renew(self, seen: Account, credential: Credential) -> Account:
        columns = self._columns(seen.platform, seen.account, credential)
        return self._change(seen, state=AccountState.ACTIVE, reason=None, **columns)

    @override
    def mark(self, seen: Account, state: AccountState, reason: str) -> Account:
        if state is AccountState.REVOKED:
            return self._change(
                seen, state=state, reason=reason, sealed=None, expires_ms=None
            )
        return self._change(seen, state=state, reason=reason)

    @override
    def accounts(
        self,
        *,
        platform: str | None = None,
        state: AccountState | None = None,
        expires_before: datetime | None = None,
    ) -> list[Account]:
        from .tables import accounts as table

        query = table.select().order_by(table.c.platform, table.c.account)
        if platform is not None:
            query = query.where(table.c.platform == platform)
        if state is not None:
            query = query.where(table.c.state == state)
        if expires_before is not None:
            query = query.where(table.c.expires_ms < clock.to_ms(expires_before))
        with self.database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [self._read(row) for row in rows]

    def rotate(self) -> int:
        """Seal with the first key what others have sealed; return how many it were.

        Accounts that change meanwhile are sealed with the first key by that; safe to
        interrupt and to repeat.
        """
        from .tables import accounts as table

        with self.database.read() as connection:
            rows = connection.execute(table.select()).mappings().all()
        count = 0
        for row in rows:
            sealed = row["sealed"]
            if sealed is None or self.keyring.is_current(sealed):
                continue
            context = _context(row["platform"], row["account"])
            anew = self.keyring.seal(
                self.keyring.unseal(sealed, context=context), context=context
            )
            same = _same(row["platform"], row["account"]) & (table.c.sealed == sealed)
            with self.database.begin() as connection:
                query = table.update().where(same).values(sealed=anew)
                count += connection.execute(query).rowcount
        return count

    def _change(self, seen: Account, **changes: Any) -> Account:
        from .tables import accounts as table

        unchanged = _same(seen.platform, seen.account) & (
            table.c.version == seen.version
        )
        query = (
            table.update()
            .where(unchanged)
            .values(version=seen.version + 1, updated_ms=clock.now_ms(), **changes)
            .returning(*table.c)
        )
        with self.database.begin() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise StaleAccountError(
                f"the account {seen.account!r} on {seen.platform} has changed since "
                f"version {seen.version}"
            )
        return self._read(row)

    def _columns(
        self, platform: str, account: str, credential: Credential
    ) -> dict[str, Any]:
        refresh = credential.refresh_token
        secret = {
            "access_token": credential.access_token.get_secret_value(),
            "refresh_token": refresh.get_secret_value() if refresh else None,
            "kind": credential.kind,
            "obtained_ms": clock.to_ms(credential.obtained_at),
            "refresh_expires_ms": _ms(credential.refresh_expires_at),
        }
        return {
            "sealed": self.keyring.seal(secret, context=_context(platform, account)),
            "scopes": sorted(credential.scopes),
            "expires_ms": _ms(credential.expires_at),
        }

    def _read(self, row: RowMapping) -> Account:
        return Account(
            platform=row["platform"],
            account=row["account"],
            state=AccountState(row["state"]),
            version=row["version"],
            credential=self._credential(row) if row["sealed"] else None,
            reason=row["reason"],
        )

    def _credential(self, row: RowMapping) -> Credential:
        context = _context(row["platform"], row["account"])
        secret = self.keyring.unseal(row["sealed"], context=context)
        refresh = secret["refresh_token"]
        return Credential(
            access_token=Secret(secret["access_token"]),
            refresh_token=None if refresh is None else Secret(refresh),
            kind=secret["kind"],
            scopes=frozenset(row["scopes"]),
            obtained_at=clock.from_ms(secret["obtained_ms"]),
            expires_at=_instant(row["expires_ms"]),
            refresh_expires_at=_instant(secret["refresh_expires_ms"]),
        )


def _same(platform: str, account: str) -> ColumnElement[bool]:
    from .tables import accounts as table

    return (table.c.platform == platform) & (table.c.account == account)


def _context(platform: str, account: str) -> str:
    return f"account {account} on {platform}"


def _ms(instant: datetime | None) -> int | None:
    return None if instant is None else clock.to_ms(instant)


def _instant(ms: int | None) -> datetime | None:
    return None if ms is None else clock.from_ms(ms)
