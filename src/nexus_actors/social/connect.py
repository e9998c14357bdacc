"""The one place where settings, accounts, publications and publishers meet."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import Any, Final

from nexus_actors.core import clock, releases
from nexus_actors.core.errors import (
    AuthorizationError,
    NexusError,
    PermanentError,
    Postponed,
    RemoteUnavailableError,
    TransientError,
    UnknownOutcomeError,
)
from nexus_actors.core.logs import get_logger
from nexus_actors.engine import jobs
from nexus_actors.platforms.gate import Gate, unnamed

from .base import Publisher, describe_error, next_look, publishers
from .desk import Desk
from .models import PublishPostRequest
from .publications import Hold
from .row import RESTING, SLACK, Phase, Publication, State
from .run import Access, Run
from .telling import leaving


log = get_logger(__name__)

#: Resting states in which a publication with a due time is looked at.
FOLLOWED: Final = {State.PUBLISHED, State.UNCONFIRMED}

#: How long the first pause is after a run that has failed; it doubles.
BACKOFF_S: Final = 60


def publish(body: dict[str, Any], settings: dict[str, Any] | None) -> dict[str, Any]:
    """Publish a post, or go on with it; return the publication as plain JSON."""
    body = {**body, "settings": settings}
    request = PublishPostRequest.parse(body, what="publish_post")
    desk = Desk.open()
    publisher = publishers.get(request.platform)()
    publisher.check(request.content, request.settings)
    token = None
    if request.credentials is not None:
        token = request.credentials.token().get_secret_value()
    hold = desk.table.take(
        key=request.key(),
        platform=request.platform,
        account=request.account,
        request=_stored(request),
        token=token,
        publish_at=request.publish_at,
        job=_job_id(),
        lease_s=desk.settings.lease_s,
    )
    return _go_on(desk, hold, token)


def resume(id_: str) -> dict[str, Any]:
    """Go on with a publication by what its row says."""
    desk = Desk.open()
    hold = desk.table.hold(id_, lease_s=desk.settings.lease_s)
    return _go_on(desk, hold, desk.table.token(hold.row))


def _go_on(desk: Desk, hold: Hold, token: str | None) -> dict[str, Any]:
    """Run a publication until it rests, and write what ends or interrupts it."""
    with leaving(hold):
        row = hold.row
        if row.state in FOLLOWED and row.due_at is not None and not row.untold:
            _follow(desk, hold, token)
        elif row.state in RESTING and row.state is not State.PARKED:
            pass
        elif _is_time(desk, hold):
            _run(desk, hold, token)
    return hold.row.to_json()


def _is_time(desk: Desk, hold: Hold) -> bool:
    """Tell whether to go on; what is too late for that is held.

    Raises:
        Postponed: It is not.
    """
    row, now = hold.row, clock.now()
    native = row.request["settings"].get("schedule_mode") == "platform"
    if row.state is not State.SCHEDULED or row.publish_at is None or native:
        return True
    if now < row.publish_at:
        hold.stage(due_at=row.publish_at + SLACK, job=_job_id() or row.job)
        raise Postponed(
            "it is not yet time to publish", code="scheduled", until=row.publish_at
        )
    late = now - row.publish_at
    if late > timedelta(seconds=desk.settings.publish_grace_s):
        text = (
            f"it was to be published at {row.publish_at.isoformat()}, and nothing ran "
            "then: publish it now with `nexus-actors publications retry`, or give it "
            "another time"
        )
        error = {"code": "missed", "message": text}
        hold.write(state=State.HELD, due_at=None, error=error)
        return False
    hold.stage(state=State.PUBLISHING)
    return True


def _run(desk: Desk, hold: Hold, token: str | None) -> None:
    row, source, run = hold.row, desk.source_of(hold.row), None
    try:
        with releases.leaving(row.request.get(releases.NAME)):
            publisher = publishers.get(row.platform)()
        run = _make_run(desk, hold, token, publisher)
        publisher.run(run)
    except Postponed as error:
        hold.stage(due_at=error.until + SLACK, job=_job_id() or row.job)
        raise
    except AuthorizationError as error:
        if row.account is None or hold.row.phase is Phase.DONE:
            _fail(hold, error)
            raise
        if not _is_of_owner(error, run):
            _count(desk, hold, error)
            raise RemoteUnavailableError(error.message, **error.details) from error
        _park(desk, hold, error, run)
    except PermanentError as error:
        _fail(hold, error)
        raise
    except TransientError as error:
        _count(desk, hold, error)
        raise
    except UnknownOutcomeError as error:  # of a call that publishes nothing
        _count(desk, hold, error)
        raise RemoteUnavailableError(error.message, **error.details) from error
    finally:
        if hold.row.phase in {Phase.CONFIRM, Phase.DONE}:
            shutil.rmtree(source.folder, ignore_errors=True)


def _make_run(desk: Desk, hold: Hold, token: str | None, publisher: Publisher) -> Run:
    row, gate = hold.row, _gate(desk, hold.row, token)
    gate.enter()
    try:
        access = _access(desk, row, token)
    except NexusError as error:
        gate.learn(error)
        raise
    return Run(
        hold=hold,
        access=access,
        platforms=desk.platforms,
        settings=desk.settings,
        source=desk.source_of(row),
        gate=gate,
        make_client=publisher.make_client,
        stop=jobs.current().check,
    )


def _follow(desk: Desk, hold: Hold, token: str | None) -> None:
    """Learn where a post is seen, or whether it is; an error changes nothing of it."""
    publisher = publishers.get(hold.row.platform)()
    due = None
    if hold.row.state is State.UNCONFIRMED:
        due = next_look(hold.row, desk.settings.processing_window_s)
    hold.stage(due_at=due)
    try:
        publisher.follow(_make_run(desk, hold, token, publisher))
    except Postponed as error:
        hold.stage(due_at=error.until + SLACK)
        raise
    except NexusError as error:
        log.info("social.post_not_located", publication=hold.row.id, code=error.code)


def _access(desk: Desk, row: Publication, token: str | None) -> Access:
    """Return the token to act with.

    Raises:
        AuthorizationError: There is none that can be used.
    """
    if row.account is not None:
        tokens, platform, account = desk.accounts(), row.platform, row.account

        def renew(rejected: str) -> str:
            found = tokens.renew(platform, account, rejected=rejected)
            return tokens.token_of(found)

        token = tokens.token_of(tokens.usable(platform, account))
        return Access(token=token, renew=renew)
    if token is None:
        raise AuthorizationError(
            "the credentials came with a message that is gone, and could not be kept: "
            "set NEXUS_SECRET_KEY, or connect an account",
            code="credentials_lost",
        )
    return Access(token=token, account_id=row.request.get("account_id"))


def _gate(desk: Desk, row: Publication, token: str | None) -> Gate:
    """Return what the calls of a publication pass."""
    who = row.account or row.request.get("account_id")
    if who is None:
        who = unnamed(token or "")
    return Gate(
        platform=row.platform, account=who, part=row.id, settings=desk.platforms
    )


def _is_of_owner(error: AuthorizationError, run: Run | None) -> bool:
    """Tell whether the account's owner must come: only a recognised answer says so."""
    is_new = run is not None and run.access.is_new
    expired = is_new and error.code == "token_expired"
    return expired or error.code == "needs_reauthorization"


def _park(desk: Desk, hold: Hold, error: AuthorizationError, run: Run | None) -> None:
    """Let a publication wait for its account's owner."""
    row = hold.row
    if run is not None and row.account is not None:
        rejected, reason = run.access.token, error.message
        desk.accounts().lose(
            row.platform, row.account, rejected=rejected, reason=reason
        )
    hold.write(
        state=State.PARKED,
        error=describe_error(error),
        due_at=clock.now(),
        notes=hold.note("parked", code=error.code),
    )


def _fail(hold: Hold, error: NexusError) -> None:
    """Write why nothing was posted; of what was taken, that it is not known how."""
    row = hold.row
    told = describe_error(error)
    if row.phase is Phase.DONE:  # the flow has written it
        return
    if row.phase is Phase.CONFIRM or row.attempt is not None:
        state = State.UNCONFIRMED
    else:
        state = State.FAILED
    hold.write(state=state, phase=Phase.DONE, error=told, due_at=None)


def _count(desk: Desk, hold: Hold, error: NexusError) -> None:
    """Count a run that failed for a reason that may pass; too many are the end."""
    failures = hold.row.failures + 1
    if failures >= desk.settings.max_failures:
        _fail(hold, error)
        return
    pause = min(BACKOFF_S * 2 ** (failures - 1), 3600)
    due = clock.now() + timedelta(seconds=pause)
    hold.write(failures=failures, error=describe_error(error), due_at=due)


def _stored(request: PublishPostRequest) -> dict[str, Any]:
    """Return what the row keeps of a request: no secrets."""
    known = {"content", "settings", "publish_at"}
    id_ = request.credentials.account_id if request.credentials else None
    kept = request.model_dump(mode="json", include=known)
    return {**kept, "account_id": id_, releases.NAME: releases.release()}


def _job_id() -> str | None:
    job = jobs.running()
    return job.id if job else None
