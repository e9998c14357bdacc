"""The accounts of the environment, and tokens that come with a message."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer

from nexus_actors.core.credentials import (
    Account,
    CredentialStore,
    DatabaseCredentialStore,
)
from nexus_actors.core.database import Database
from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.keyring import PREFIX, Keyring, Secret
from nexus_actors.core.settings import CoreSettings
from nexus_actors.engine import events

from .settings import PlatformSettings
from .tokens import Tokens


#: What a sealed token of a message is for; it opens nowhere else.
IN_MESSAGE: Final = "credentials in a message"

#: What is told of an account that only its owner can mend.
ACCOUNT_LOST: Final = "social.account_needs_reauthorization"


def _secret(value: object) -> object:
    return Secret(value) if isinstance(value, str) else value


def _sealed(value: Secret) -> str:
    text, settings = value.get_secret_value(), CoreSettings.load()
    if text.startswith(f"{PREFIX}:") or settings.secret_key is None:
        return text
    return Keyring.from_settings(settings).seal(text, context=IN_MESSAGE)


#: A token in a message: encrypted there when ``NEXUS_SECRET_KEY`` is set.
MessageToken = Annotated[
    Secret, BeforeValidator(_secret), PlainSerializer(_sealed, when_used="json")
]


def open_token(token: Secret) -> str:
    """Return the token as the platform knows it.

    Raises:
        ConfigurationError: It is sealed, and ``NEXUS_SECRET_KEY`` does not open it.
    """
    text = token.get_secret_value()
    if not text.startswith(f"{PREFIX}:"):
        return text
    ring = Keyring.from_settings(CoreSettings.load())
    return str(ring.unseal(text, context=IN_MESSAGE))


def open_database(core: CoreSettings) -> Database:
    """Open the database of these settings; once for a process."""
    url = core.database_url.get_secret_value() if core.database_url else ""
    return _open(url, core.redis_host, core.sqlite_forced)


@cache
def _open(_url: str, _redis: str, _forced: bool) -> Database:
    return Database.connect(CoreSettings.load())


def open_tokens(
    core: CoreSettings, database: Database, platforms: PlatformSettings
) -> Tokens:
    """Return the accounts' tokens.

    Args:
        core: Of the environment.
        database: Of the environment.
        platforms: Of the environment; with the host's own store, if there is one.

    Raises:
        ConfigurationError: ``NEXUS_SECRET_KEY`` is not set, or there is no such store.
    """
    store: CredentialStore
    if platforms.credential_store is not None:
        store = _host_store(platforms.credential_store)
    else:
        store = DatabaseCredentialStore(database, Keyring.from_settings(core))
    return Tokens(store, database, platforms, tell_of_account, apart=True)


def tell_of_account(account: Account, reason: str) -> bool:
    """Tell that an account needs its owner; return whether that is told."""
    who = {"platform": account.platform, "account": account.account}
    key = f"{account.platform}/{account.account}/{account.version}"
    return events.emit(ACCOUNT_LOST, {**who, "reason": reason}, key=key)


@cache
def _host_store(path: str) -> CredentialStore:
    """Return the host's store of accounts; made once for a process.

    Raises:
        ConfigurationError: There is none of that name.
    """
    module, _, name = path.partition(":")
    try:
        found = getattr(import_module(module), name)()
    except (ImportError, AttributeError, TypeError) as error:
        raise ConfigurationError(
            f"NEXUS_CREDENTIAL_STORE: {path} cannot be made: {error}"
        ) from error
    if not isinstance(found, CredentialStore):
        raise ConfigurationError(
            f"NEXUS_CREDENTIAL_STORE: {path} is no subclass of CredentialStore"
        )
    return found
