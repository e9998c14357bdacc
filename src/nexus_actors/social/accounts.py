"""Connecting a creator's account: where to send them, and what they come back with.

A host keeps what `begin_login` returns, in the creator's session, until they are back;
then `finish_login` stores the account, and messages name it::

    begun = begin_login("youtube")
    # keep begun.state and begun.verifier, send the creator to begun.url
    accounts = finish_login("youtube", request.url, begun)
    publish_post.send(platform="youtube", account=accounts[0].account, ...)
"""

from __future__ import annotations

import hmac
from urllib.parse import parse_qs, urlsplit

from nexus_actors.core.credentials import (
    Account,
    AccountState,
    DatabaseCredentialStore,
)
from nexus_actors.core.errors import (
    AuthorizationError,
    ConfigurationError,
    PermanentError,
)
from nexus_actors.core.keyring import Keyring
from nexus_actors.core.logs import get_logger
from nexus_actors.platforms.login import Connected, Login, Start
from nexus_actors.platforms.logins import LOGINS
from nexus_actors.platforms.settings import PlatformSettings

from .desk import Desk


log = get_logger(__name__)


def begin_login(
    platform: str, *, redirect_uri: str | None = None, figures: bool = False
) -> Start:
    """Return where to send the creator, and what to keep until they are back.

    Args:
        platform: ``youtube``, ``tiktok``, ``instagram`` or ``facebook``.
        redirect_uri: Where they are sent back to; by default as set.
        figures: Whether to ask, too, for what collecting figures needs; the platform
            must have allowed the app to.

    Raises:
        ConfigurationError: There is no such login, or the app is not set up.
    """
    login = login_of(platform)
    scopes = (*login.scopes, *login.figures) if figures else ()
    return login.start(redirect_uri=redirect_uri, scopes=scopes)


def finish_login(
    platform: str, came_back_to: str, begun: Start, *, redirect_uri: str | None = None
) -> list[Account]:
    """Store the accounts that a creator has connected, and return them.

    Args:
        platform: As `begin_login` was given it.
        came_back_to: The whole URL that they were sent back to.
        begun: What `begin_login` has returned.
        redirect_uri: As `begin_login` was given it.

    Raises:
        AuthorizationError: They have refused (``access_denied``), have not granted
            what publishing needs (``missing_scope``), or it is another's answer
            (``wrong_state``).
        ConfigurationError: ``NEXUS_SECRET_KEY`` is not set, or the app is not set up.
    """
    tokens, login = Desk.open().accounts(), login_of(platform)
    code = _code(came_back_to, begun)
    found = login.exchange(code, verifier=begun.verifier, redirect_uri=redirect_uri)
    if not found:
        raise AuthorizationError(
            f"the creator has no account on {platform} that can publish",
            code="no_account",
        )
    for one in found:
        _check_scopes(login, one)
    log.info("social.accounts_connected", platform=platform, count=len(found))
    return [tokens.store.put(platform, one.account, one.credential) for one in found]


def accounts(platform: str | None = None) -> list[Account]:
    """Return the accounts that are connected.

    Raises:
        ConfigurationError: ``NEXUS_SECRET_KEY`` is not set.
    """
    return Desk.open().accounts().store.accounts(platform=platform)


def disconnect(platform: str, account: str) -> Account:
    """Forget an account's tokens, and end them on the platform's side if it can.

    Raises:
        UnknownAccountError: There is none.
        NexusError: The platform does not answer; disconnecting again is safe.
    """
    store, login = Desk.open().accounts().store, login_of(platform)
    seen = store.get(platform, account)
    if seen.credential is not None and seen.state is AccountState.ACTIVE:
        try:
            login.revoke(seen.credential)
        except PermanentError as error:  # asked again, it would say the same
            log.info("social.not_revoked", platform=platform, reason=error.code)
    return store.mark(seen, AccountState.REVOKED, "disconnected")


def rotate_keys() -> int:
    """Seal all accounts with the first key of ``NEXUS_SECRET_KEY``; tell how many."""
    desk = Desk.open()
    ring = Keyring.from_settings(desk.core)
    return DatabaseCredentialStore(desk.table.database, ring).rotate()


def login_of(platform: str) -> Login:
    """Return the login of *platform*.

    Raises:
        ConfigurationError: There is none.
    """
    if platform not in LOGINS:
        known = ", ".join(sorted(LOGINS))
        raise ConfigurationError(f"no login for {platform!r}; known: {known}")
    return LOGINS[platform](PlatformSettings.load())


def _code(came_back_to: str, begun: Start) -> str:
    query = parse_qs(urlsplit(came_back_to).query)
    state = query.get("state", [""])[0]
    if not hmac.compare_digest(state.encode(), begun.state.encode()):
        raise AuthorizationError(
            "this is not the answer to the login that was begun: begin again",
            code="wrong_state",
        )
    if error := query.get("error", [""])[0]:
        words = query.get("error_description", [error])[0]
        raise AuthorizationError(f"the login was refused: {words}", code=error)
    code = query.get("code", [""])[0]
    if not code:
        raise AuthorizationError("the answer has no code: begin again", code="no_code")
    return code


def _check_scopes(login: Login, found: Connected) -> None:
    if missing := login.missing(found.credential):
        raise AuthorizationError(
            f"{found.name} has not granted what publishing needs: {', '.join(missing)}",
            code="missing_scope",
            missing=missing,
        )
