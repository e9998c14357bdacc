"""Credential stores as a host might write them; three are wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from threading import Lock

from typing_extensions import override

from nexus_actors.core.credentials import (
    Account,
    AccountState,
    Credential,
    CredentialStore,
    StaleAccountError,
    UnknownAccountError,
)


class HostStore(CredentialStore):
    """A host's own accounts, in its own place."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Account] = {}
        self.lock = Lock()

    @override
    def get(self, platform: str, account: str) -> Account:
        try:
            return self.kept[platform, account]
        except KeyError:
            raise UnknownAccountError(f"no account {account!r}") from None

    @override
    def put(self, platform: str, account: str, credential: Credential) -> Account:
        with self.lock:
            old = self.kept.get((platform, account))
            return self.keep(
                Account(
                    platform=platform,
                    account=account,
                    state=AccountState.ACTIVE,
                    version=old.version + 1 if old else 1,
                    credential=credential,
                )
            )

    @override
    def renew(self, seen: Account, credential: Credential) -> Account:
        active = replace(seen, state=AccountState.ACTIVE, reason=None)
        return self.change(seen, replace(active, credential=credential))

    @override
    def mark(self, seen: Account, state: AccountState, reason: str) -> Account:
        kept = None if state is AccountState.REVOKED else seen.credential
        marked = replace(seen, state=state, reason=reason, credential=kept)
        return self.change(seen, marked)

    @override
    def accounts(
        self,
        *,
        platform: str | None = None,
        state: AccountState | None = None,
        expires_before: datetime | None = None,
    ) -> list[Account]:
        def fits(account: Account) -> bool:
            expires = account.credential.expires_at if account.credential else None
            return (
                platform in {None, account.platform}
                and state in {None, account.state}
                and (not expires_before or bool(expires and expires < expires_before))
            )

        return [a for _, a in sorted(self.kept.items()) if fits(a)]

    def change(self, seen: Account, changed: Account) -> Account:
        with self.lock:
            if self.get(seen.platform, seen.account).version != seen.version:
                raise StaleAccountError("it has changed")
            return self.keep(replace(changed, version=seen.version + 1))

    def keep(self, account: Account) -> Account:
        self.kept[account.platform, account.account] = account
        return account


class LastOneWins(HostStore):
    """Whoever writes last wins, whatever came in between."""

    @override
    def change(self, seen: Account, changed: Account) -> Account:
        return self.keep(replace(changed, version=seen.version + 1))


class KeepsRevoked(HostStore):
    """A revoked account still has its token."""

    @override
    def mark(self, seen: Account, state: AccountState, reason: str) -> Account:
        return self.change(seen, replace(seen, state=state, reason=reason))


class ForgetsPlatforms(HostStore):
    """An account has the same id everywhere."""

    @override
    def keep(self, account: Account) -> Account:
        self.kept["any", account.account] = account
        return account

    @override
    def get(self, platform: str, account: str) -> Account:
        return super().get("any", account)
