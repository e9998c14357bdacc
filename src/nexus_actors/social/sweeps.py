"""The safety net: goes on with what nobody works on, and renews what soon ends."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import Any, Final

from nexus_actors.core import clock
from nexus_actors.core.credentials import AccountState
from nexus_actors.core.database import Database
from nexus_actors.core.errors import ConfigurationError, Postponed
from nexus_actors.core.logs import get_logger
from nexus_actors.core.settings import CoreSettings

from .desk import Desk
from .models import RefreshCredentialsResult, SweepPublicationsResult
from .row import Publication, State
from .telling import leaving


log = get_logger(__name__)

#: When a publication is looked at again for which a message was sent.
AGAIN: Final = timedelta(minutes=1)


def sweep() -> dict[str, Any]:
    """Send a message for each publication that nobody works on; tell how many.

    What has come to rest and was not told is told.
    """
    from .actors import resume_publication

    desk = _open()
    if isinstance(desk, str):
        return SweepPublicationsResult(skipped=desk).to_json()
    sent = 0
    for row in desk.table.due():
        try:
            hold = desk.table.hold(row.id, lease_s=desk.settings.lease_s)
        except Postponed:
            continue  # somebody has just taken it up
        with leaving(hold):
            if row.untold or hold.row.version != row.version:
                continue  # it is told by now, or somebody has gone on with it since
            hold.stage(due_at=clock.now() + AGAIN)
        if row.state is not State.PARKED or _is_connected(desk, row):
            resume_publication.send(publication=row.id)
            sent += 1
    return SweepPublicationsResult(sent=sent).to_json()


def refresh(platform: str | None, account: str | None) -> dict[str, Any]:
    """Renew the tokens of an account, or of all that are due; tell what came of it."""
    if platform is not None and account is not None:
        found = Desk.open().accounts().renew(platform, account)
        name = f"{platform}/{found.account}"
        return RefreshCredentialsResult(renewed=(name,)).to_json()
    desk = _open()
    if isinstance(desk, str) or desk.tokens is None:
        reason = desk if isinstance(desk, str) else "no account can be connected"
        return RefreshCredentialsResult(skipped=reason).to_json()
    renewed, failed = desk.tokens.renew_due()
    return RefreshCredentialsResult(renewed=tuple(renewed), failed=failed).to_json()


def _open() -> Desk | str:
    """Return the desk, or why there is nothing to sweep: most workers never publish."""
    try:
        with closing(Database.open(CoreSettings.load())) as found:
            path = found.path
        if path is not None and not path.exists():
            return "there is no database yet"
        return Desk.open()
    except ConfigurationError as error:
        log.info("social.sweep_skipped", reason=error.message)
        return error.message


def _is_connected(desk: Desk, row: Publication) -> bool:
    if row.account is None or desk.tokens is None:
        return False
    found = desk.tokens.store.get(row.platform, row.account)
    return found.state is AccountState.ACTIVE
