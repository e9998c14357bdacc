"""The one place where the domain's settings, stores and providers meet."""

from __future__ import annotations

import functools
import os
import random
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nexus_actors.core.database import Database
from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.ledger import Ledger
from nexus_actors.core.settings import CoreSettings
from nexus_actors.engine import jobs

from .base import Provider, providers
from .lists import Preferences, Suppressions
from .models import Recipient, SendBulkRequest, SendNotificationRequest
from .settings import NotificationSettings


if TYPE_CHECKING:
    from .sending import Sender


def send_notification(body: dict[str, Any]) -> dict[str, Any]:
    """Send one notification; return the result as plain JSON."""
    request = SendNotificationRequest.parse(body, what="send_notification")
    job = jobs.current()
    return connect().send(request, job_id=job.id).to_json()


def send_bulk(body: dict[str, Any]) -> dict[str, Any]:
    """Send one notification to many; return the result as plain JSON."""
    from . import bulk

    request = SendBulkRequest.parse(body, what="send_bulk")
    job = jobs.current()
    result = bulk.send_bulk(
        connect(),
        request,
        job_id=job.id,
        check=job.check,
        on_progress=lambda share: job.progress(share, stage="send"),
    )
    return result.to_json()


def connect() -> Sender:
    """Return the sender for the environment as it is.

    It is made anew when the environment has changed, and not for each message:
    reading all settings takes longer than sending.
    """
    return _sender(_environment())


def database() -> Database:
    """Return the database of the environment as it is."""
    return _database(_environment())


def _environment() -> frozenset[tuple[bytes, bytes]]:
    return frozenset(os.environb.items())  # decoding all of it takes twice as long


@functools.lru_cache(maxsize=8)
def _database(_: frozenset[tuple[bytes, bytes]]) -> Database:
    return Database.connect(CoreSettings.load())


@functools.lru_cache(maxsize=8)
def _sender(environment: frozenset[tuple[bytes, bytes]]) -> Sender:
    from .compose import Composer
    from .delivering import SCOPE, Courier
    from .sending import CANCELLED, Sender
    from .templates import Templates

    settings, found = NotificationSettings.load(), _database(environment)
    courier = Courier(
        settings=settings,
        ledger=Ledger(found, SCOPE),
        suppressions=Suppressions(found),
        provider=functools.cache(_provider),
        chance=random.random,
    )
    return Sender(
        settings=settings,
        courier=courier,
        cancelled=Ledger(found, CANCELLED),
        preferences=Preferences(found),
        composer=Composer(settings, Templates(settings)),
        resolve=_resolver(settings),
        chance=random.random,
    )


def _provider(name: str) -> Provider[Any]:
    return providers.get(name).connect()


def _resolver(settings: NotificationSettings) -> Any:
    """Return the host's function of a user's id, whose answer is checked."""
    if settings.resolve_recipient is None:
        return lambda _: None
    function = load(settings.resolve_recipient, "NEXUS_RESOLVE_RECIPIENT")

    def resolve(user_id: str) -> Recipient | None:
        found = function(user_id)
        if found is None or isinstance(found, Recipient):
            return found
        return Recipient.parse(found, what="resolve_recipient")

    return resolve


def load(path: str, variable: str) -> Any:
    """Return the function that *variable* names.

    Raises:
        ConfigurationError: There is none.
    """
    module, _, name = path.partition(":")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigurationError(
            f"{variable}: {path} cannot be imported: {reason}"
        ) from error
    if not callable(found):
        raise ConfigurationError(f"{variable}: {path} is no function")
    return found
