"""What a host or a person does with a publication: cancel, move, retry, settle."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from nexus_actors.core import clock
from nexus_actors.core.errors import RejectedError

from .desk import Desk
from .publications import Hold
from .row import ACTIVE, SLACK, Phase, Publication, State, refuse_unless
from .telling import leaving


def cancel(id_: str) -> dict[str, Any]:
    """Cancel a post that is not yet made.

    Raises:
        RejectedError: It is made, or perhaps made.
    """
    with leaving(_hold(id_)) as hold:
        row = hold.row
        states = (*ACTIVE, State.PARKED, State.HELD, State.FAILED)
        refuse_unless(row, *states, to="cancelled")
        if row.attempt is not None or row.phase is Phase.CONFIRM:
            raise RejectedError(
                f"publication {row.id} cannot be cancelled: {row.platform} has it, or "
                "may have it",
                code="too_late",
            )
        hold.write(state=State.CANCELLED, phase=Phase.DONE, due_at=None)
    return hold.row.to_json()


def reschedule(id_: str, publish_at: str) -> dict[str, Any]:
    """Give a post that waits for its time another one.

    Raises:
        RejectedError: It does not wait any more.
    """
    at = datetime.fromisoformat(publish_at)
    with leaving(_hold(id_)) as hold:
        refuse_unless(hold.row, State.SCHEDULED, State.HELD, to="rescheduled")
        hold.write(publish_at=at, due_at=at + SLACK, state=State.SCHEDULED, error=None)
    _resume_later(hold.row, at)
    return hold.row.to_json()


def retry(id_: str) -> dict[str, Any]:
    """Let a publication be tried again that rests without a post; now, if it is held.

    Raises:
        RejectedError: It is published, or may be.
    """
    with leaving(_hold(id_)) as hold:
        states = (State.FAILED, State.HELD, State.PARKED)
        refuse_unless(hold.row, *states, to="tried again")
        again = Phase.PREPARE if hold.row.phase is Phase.DONE else hold.row.phase
        fresh: dict[str, Any] = {"checkpoint": {}} if again is Phase.PREPARE else {}
        hold.write(
            state=State.PUBLISHING,
            phase=again,
            failures=0,
            error=None,
            publish_at=None,
            due_at=clock.now() + SLACK,
            notes=hold.note("retried"),
            **fresh,
        )
    _resume_later(hold.row, clock.now())
    return hold.row.to_json()


def settle(id_: str, *, published: bool, remote_id: str | None) -> dict[str, Any]:
    """Note what a person has seen of a post whose outcome was unknown.

    Raises:
        RejectedError: Its outcome is not unknown.
    """
    with leaving(_hold(id_)) as hold:
        refuse_unless(hold.row, State.UNCONFIRMED, to="settled")
        seen = {"published": published, "remote_id": remote_id}
        if published:
            ends: dict[str, Any] = {
                "state": State.PUBLISHED,
                "remote_id": remote_id or hold.row.remote_id,
                "error": None,
            }
        else:
            error = {"code": "not_published", "message": "a person has seen no post"}
            ends = {"state": State.FAILED, "error": error}
        notes = hold.note("settled", **seen)
        hold.write(attempt=None, due_at=None, notes=notes, **ends)
    return hold.row.to_json()


def _hold(name: str) -> Hold:
    """Take the right to change a publication, by its id or its idempotency key."""
    desk = Desk.open()
    return desk.table.hold(desk.table.get(name).id, lease_s=desk.settings.lease_s)


def _resume_later(row: Publication, at: datetime) -> None:
    """Set the alarm of a publication; the row keeps the time, should it be lost."""
    from .actors import resume_publication

    wait = max(timedelta(), at - clock.now())
    resume_publication.send_with_options(
        kwargs={"publication": row.id}, delay=round(wait.total_seconds() * 1000)
    )
