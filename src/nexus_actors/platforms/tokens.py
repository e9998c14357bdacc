"""Tokens that are good: renewed in time, by one worker at a time.

A refresh is a call that cannot be taken back where refresh tokens are good once.  So
whoever makes it holds the account's entry in the ledger, looks again whether another
has been faster, makes the call, and stores what came of it before anybody uses it; see
`renewal` for who that is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import tenacity

from nexus_actors.core import clock
from nexus_actors.core.credentials import (
    Account,
    AccountState,
    Credential,
    CredentialStore,
    StaleAccountError,
)
from nexus_actors.core.database import Database
from nexus_actors.core.errors import (
    AuthorizationError,
    NexusError,
    Postponed,
    RejectedError,
    RemoteUnavailableError,
    TransientError,
    UnknownOutcomeError,
)
from nexus_actors.core.ledger import Claim, Ledger, State
from nexus_actors.core.logs import get_logger

from .login import Login
from .logins import LOGINS
from .renewal import renew_apart
from .settings import PlatformSettings


log = get_logger(__name__)

#: How long one worker may take to renew a token; longer than its calls can, and the
#: storing of what came of them.
LEASE_S: Final = 90

#: How long it is tried to store a new token.
STORE_S: Final = 30

#: Why an account may be lost whose token nobody has revoked.
BROKEN_OFF: Final = "its last renewal was broken off before the new token was stored"

#: How soon those look again who have found another one at it.
AGAIN_S: Final = 1

#: How far ahead a sweep looks.
AHEAD: Final = timedelta(days=45)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The accounts' tokens.

    Attributes:
        on_loss: Hears of an account that only its owner can mend, and why; returns
            whether it was heard, else the account is not marked as such yet.
        apart: Whether a pair that is good once is renewed by a process of its own,
            which reads all of this from the environment.
    """

    store: CredentialStore
    database: Database
    settings: PlatformSettings
    on_loss: Callable[[Account, str], bool] = lambda *_: True
    lease_s: float = LEASE_S
    apart: bool = False

    def usable(self, platform: str, account: str) -> Account:
        """Return the account with a token that is good for now.

        Raises:
            AuthorizationError: Only its owner can help.
            Postponed: Another worker is renewing it.
            NexusError: It could not be renewed, and may another time.
        """
        found = self._active(platform, account)
        login = self._login(platform)
        credential = found.credential
        if login and credential and login.is_due(credential, clock.now()):
            try:
                return self._renew(found, login)
            except NexusError:
                ends = credential.expires_at
                if ends is None or ends <= clock.now():
                    raise
                log.warning("social.renewal_failed", platform=platform)
                return self._active(platform, account)
        return found

    def renew(
        self, platform: str, account: str, *, rejected: str | None = None
    ) -> Account:
        """Return the account with another token than the one that was *rejected*.

        Raises:
            AuthorizationError: Only its owner can help.
            Postponed: Another worker is renewing it.
            NexusError: It could not be renewed, and may another time.
        """
        found = self._active(platform, account)
        if rejected is not None and self.token_of(found) != rejected:
            return found  # another was faster
        login = self._login(platform)
        if login is None:
            raise AuthorizationError(
                f"{platform} has no login of ours that renews a token",
                code="needs_reauthorization",
            )
        return self._renew(found, login)

    def lose(self, platform: str, account: str, *, rejected: str, reason: str) -> None:
        """Mark an account whose newest token is *rejected*: its owner must come."""
        found = self.store.get(platform, account)
        active = found.state is AccountState.ACTIVE and found.credential is not None
        if active and self.token_of(found) == rejected:
            self._lose(found, reason)

    def renew_due(self) -> tuple[list[str], dict[str, str]]:
        """Renew every token that is about to expire.

        Returns:
            The accounts with new ones, and those without with the error's code.
        """
        renewed, failed = [], {}
        now = clock.now()
        for account in self.store.accounts(
            state=AccountState.ACTIVE, expires_before=now + AHEAD
        ):
            name, login = f"{account.platform}/{account.account}", None
            if account.platform in LOGINS:
                login = LOGINS[account.platform](self.settings)
            if not login or not account.credential:
                continue
            if not login.is_due(account.credential, now):
                continue
            try:
                self._renew(account, login)
            except NexusError as error:
                failed[name] = error.code
            else:
                renewed.append(name)
        return renewed, failed

    def renew_here(self, platform: str, account: str, *, version: int) -> None:
        """Renew an account's tokens in this process, if they are of that *version*.

        Nobody is told of an account that is lost: who has asked for it does that.

        Raises:
            AuthorizationError: Only its owner can help.
            Postponed: Another worker is renewing it.
            NexusError: It could not be renewed, and may another time.
        """
        seen, login = self._active(platform, account), self._login(platform)
        if login is not None and seen.version == version:
            self._exchange(seen, login)

    def token_of(self, account: Account) -> str:
        """Return the token of an account that is usable."""
        credential = account.credential
        assert credential is not None  # noqa: S101 - of a usable one
        return credential.access_token.get_secret_value()

    def _login(self, platform: str) -> Login | None:
        kind = LOGINS.get(platform)
        return kind(self.settings) if kind else None

    def _active(self, platform: str, account: str) -> Account:
        found = self.store.get(platform, account)
        if found.state is not AccountState.ACTIVE or found.credential is None:
            raise AuthorizationError(
                f"the account {account!r} on {platform} is {found.state}: its owner "
                f"must connect it again ({found.reason})",
                code="needs_reauthorization",
            )
        return found

    def _renew(self, seen: Account, login: Login) -> Account:
        try:
            if self.apart and login.model == "rotating":
                renew_apart(seen, timeout_s=self.lease_s)
                return self._active(seen.platform, seen.account)
            return self._exchange(seen, login)
        except AuthorizationError as error:
            if error.code == "needs_reauthorization":
                self._lose(seen, error.message)
            raise

    def _exchange(self, seen: Account, login: Login) -> Account:
        with self._claim(seen) as claim:
            now = self._active(seen.platform, seen.account)
            if now.version != seen.version:
                claim.release()
                return now  # another was faster
            told = claim.entry.evidence
            claim.begin_call({"version": seen.version})
            try:
                assert now.credential is not None  # noqa: S101 - of an active one
                fresh = login.renew(now.credential, now.account)
            except AuthorizationError as error:
                claim.release()
                if told.get("broken_off") == seen.version:
                    why = f"{error.message}: {BROKEN_OFF}"
                    raise AuthorizationError(why, code=error.code) from error
                raise
            except UnknownOutcomeError as error:
                claim.release()  # asked again, the platform says what came of it
                raise RemoteUnavailableError(error.message) from error
            except NexusError:
                claim.release()
                raise
            try:
                stored = self._store(now, fresh)
            finally:
                claim.release()
        log.info("social.token_renewed", platform=seen.platform, account=seen.account)
        return stored

    def _store(self, seen: Account, fresh: Credential) -> Account:
        """Store what cannot be had again, also where the database is away for a while.

        Raises:
            NexusError: It is away for longer, or the account has been connected again.
        """
        again = tenacity.Retrying(
            stop=tenacity.stop_after_delay(STORE_S),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=2),
            retry=tenacity.retry_if_exception(_may_pass),
            reraise=True,
        )
        try:
            return again(self.store.renew, seen, fresh)
        except StaleAccountError:
            found = self.store.get(seen.platform, seen.account)
            if found.credential and found.credential.access_token == fresh.access_token:
                return found  # it was stored, and only that was not heard
            raise

    def _claim(self, seen: Account) -> Claim:
        """Take the right to renew an account's token.

        Raises:
            Postponed: Another has it.
        """
        ledger = Ledger(self.database, "refresh")
        key = f"{seen.platform}/{seen.account}"
        try:
            entry = ledger.claim(key, lease_s=self.lease_s)
        except Postponed as error:
            until = min(error.until, clock.now() + timedelta(seconds=AGAIN_S))
            raise Postponed(error.message, code="renewing", until=until) from error
        if isinstance(entry, Claim):
            return entry
        # whoever had it has died: if the platform has answered, it will say so
        if entry.state is State.UNKNOWN:
            try:
                evidence = {"broken_off": entry.evidence.get("version")}
                ledger.reopen(key, by="refresh", evidence=evidence)
            except RejectedError:
                log.debug("social.refresh_reopened", account=seen.account)
        raise Postponed("another was renewing it", code="renewing", until=clock.now())

    def _lose(self, account: Account, reason: str) -> None:
        """Mark an account that only its owner can mend, unless it was mended."""
        if self.store.get(account.platform, account.account).version != account.version:
            log.info("social.account_mended", platform=account.platform)
            return
        # first told, then marked: who dies in between finds it out again
        if not self.on_loss(account, reason):
            return
        try:
            self.store.mark(account, AccountState.NEEDS_REAUTHORIZATION, reason)
        except StaleAccountError:
            log.info("social.account_mended", platform=account.platform)


def _may_pass(error: BaseException) -> bool:
    """Tell whether storing again may help: not where the account was changed."""
    stale = isinstance(error, StaleAccountError)
    return isinstance(error, TransientError) and not stale
