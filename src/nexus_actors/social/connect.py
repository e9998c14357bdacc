"""The one place where settings, accounts, publications and publishers meet."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from nexus_actors.core import clock
from nexus_actors.core.credentials import (
    AccountState,
)
from nexus_actors.core.database import Database
from nexus_actors.core.errors import (
    AuthorizationError,
    ConfigurationError,
    NexusError,
    PermanentError,
    Postponed,
    RejectedError,
    RemoteUnavailableError,
    TransientError,
    UnknownOutcomeError,
)
from nexus_actors.core.guard import Guard, GuardSettings
from nexus_actors.core.keyring import Keyring
from nexus_actors.core.logs import get_logger
from nexus_actors.core.settings import CoreSettings
from nexus_actors.engine import events, jobs
from nexus_actors.engine.instruments import counter
from nexus_actors.platforms.gate import Gate, unnamed
from nexus_actors.platforms.settings import PlatformSettings
from nexus_actors.platforms.tokens import Tokens
from nexus_actors.platforms.vault import open_database, open_tokens

from .base import Publisher, describe_error, publishers
from .models import (
    PublishPostRequest,
    RefreshCredentialsResult,
    SweepPublicationsResult,
)
from .publications import (
    ACTIVE,
    RESTING,
    Hold,
    Phase,
    Publication,
    Publications,
    State,
    refuse_unless,
)
from .run import Access, Run
from .settings import SocialSettings
from .sources import Source


log = get_logger(__name__)

#: How long after the end of a lease a sweep goes on with what was left.
SLACK: Final = timedelta(seconds=15)

#: How long the first pause is after a run that has failed; it doubles.
BACKOFF_S: Final = 60

#: What is told when a publication has come to rest.
TOLD: Final = {
    State.PUBLISHED: "social.post_published",
    State.AWAITING_USER: "social.draft_delivered",
    State.UNCONFIRMED: "social.post_unconfirmed",
    State.FAILED: "social.post_failed",
    State.HELD: "social.post_held",
    State.PARKED: "social.post_parked",
    State.CANCELLED: "social.post_cancelled",
}

PUBLICATIONS: Final = counter(
    "nexus_social_publications_total",
    "Publications that have come to rest, by how",
    platform=publishers.known,
    outcome=tuple(state.value for state in TOLD),
)
#: What is told when the public id or the URL of a published post is known later.
LOCATED: Final = "social.post_located"

#: What is told of an account that only its owner can mend.
ACCOUNT_LOST: Final = "social.account_needs_reauthorization"


@dataclass(frozen=True, slots=True)
class Desk:
    """What every call here needs, made once for a process and its settings."""

    core: CoreSettings
    settings: SocialSettings
    platforms: PlatformSettings
    table: Publications
    tokens: Tokens | None

    @classmethod
    def open(cls) -> Desk:
        """Read the settings, and open the database.

        Raises:
            ConfigurationError: One of them is wrong.
        """
        core, platforms = CoreSettings.load(), PlatformSettings.load()
        settings, database = SocialSettings.load(), open_database(core)
        ring = Keyring.from_settings(core) if core.secret_key else None
        tokens = None
        if ring is not None or platforms.credential_store is not None:
            tokens = open_tokens(core, database, platforms, _told_of_account)
        return cls(core, settings, platforms, Publications(database, ring), tokens)

    def accounts(self) -> Tokens:
        """Return the accounts.

        Raises:
            ConfigurationError: There is no key to open them with.
        """
        if self.tokens is None:
            Keyring.from_settings(self.core)  # says what is missing
            raise ConfigurationError("NEXUS_SECRET_KEY is not set")
        return self.tokens


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
    row = desk.table.register(
        key=request.key(),
        platform=request.platform,
        account=request.account,
        request=_stored(request),
        token=token,
        publish_at=request.publish_at,
        job=_job_id(),
    )
    return _go_on(desk, row, token)


def resume(id_: str) -> dict[str, Any]:
    """Go on with a publication by what its row says."""
    desk = Desk.open()
    row = desk.table.get(id_)
    if row.state is State.PUBLISHED and row.due_at is not None:
        return _follow(desk, row)
    return _go_on(desk, row, desk.table.token(row))


def cancel(id_: str) -> dict[str, Any]:
    """Cancel a post that is not yet made.

    Raises:
        RejectedError: It is made, or perhaps made.
    """
    desk = Desk.open()
    with _held(desk, desk.table.get(id_)) as hold:
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
        _tell(hold.row)
    return hold.row.to_json()


def reschedule(id_: str, publish_at: str) -> dict[str, Any]:
    """Give a post that waits for its time another one.

    Raises:
        RejectedError: It does not wait any more.
    """
    from .actors import resume_publication

    at = datetime.fromisoformat(publish_at)
    desk = Desk.open()
    with _held(desk, desk.table.get(id_)) as hold:
        refuse_unless(hold.row, State.SCHEDULED, State.HELD, to="rescheduled")
        hold.write(publish_at=at, due_at=at + SLACK, state=State.SCHEDULED, error=None)
    _send_later(resume_publication, hold.row, at)
    return hold.row.to_json()


def retry(id_: str) -> dict[str, Any]:
    """Let a publication be tried again that rests without a post; now, if it is held.

    Raises:
        RejectedError: It is published, or may be.
    """
    from .actors import resume_publication

    desk = Desk.open()
    with _held(desk, desk.table.get(id_)) as hold:
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
    _send_later(resume_publication, hold.row, clock.now())
    return hold.row.to_json()


def settle(id_: str, *, published: bool, remote_id: str | None) -> dict[str, Any]:
    """Note what a person has seen of a post whose outcome was unknown.

    Raises:
        RejectedError: Its outcome is not unknown.
    """
    desk = Desk.open()
    with _held(desk, desk.table.get(id_)) as hold:
        refuse_unless(hold.row, State.UNCONFIRMED, to="settled")
        seen = {"published": published, "remote_id": remote_id}
        if published:
            ends: dict[str, Any] = {
                "state": State.PUBLISHED,
                "remote_id": remote_id,
                "error": None,
            }
        else:
            error = {"code": "not_published", "message": "a person has seen no post"}
            ends = {"state": State.FAILED, "error": error}
        notes = hold.note("settled", **seen)
        hold.write(attempt=None, notes=notes, **ends)
        _tell(hold.row)
    return hold.row.to_json()


def sweep() -> dict[str, Any]:
    """Send a message for each publication that nobody works on; tell how many."""
    from .actors import resume_publication

    desk = _open_for_sweep()
    if isinstance(desk, str):
        return SweepPublicationsResult(skipped=desk).to_json()
    sent = 0
    for row in desk.table.due():
        try:
            with _held(desk, row) as hold:
                if hold.row.version != row.version:
                    continue  # somebody has gone on with it since
                hold.write(due_at=clock.now() + timedelta(seconds=BACKOFF_S))
        except Postponed:
            continue  # somebody has just taken it up
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
    desk = _open_for_sweep()
    if isinstance(desk, str) or desk.tokens is None:
        reason = desk if isinstance(desk, str) else "no account can be connected"
        return RefreshCredentialsResult(skipped=reason).to_json()
    renewed, failed = desk.tokens.renew_due()
    return RefreshCredentialsResult(renewed=tuple(renewed), failed=failed).to_json()


def _open_for_sweep() -> Desk | str:
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


def _go_on(desk: Desk, row: Publication, token: str | None) -> dict[str, Any]:
    """Run a publication until it rests, and write what ends or interrupts it."""
    if row.state in RESTING and row.state is not State.PARKED:
        return row.to_json()
    with _held(desk, row) as hold:
        if hold.row.state in RESTING and hold.row.state is not State.PARKED:
            return hold.row.to_json()
        if _is_time(desk, hold):
            _run(desk, hold, token)
        if hold.row.state in RESTING:
            _tell(hold.row)
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
        hold.write(due_at=row.publish_at + SLACK, job=_job_id() or row.job)
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
    hold.write(state=State.PUBLISHING)
    return True


def _run(desk: Desk, hold: Hold, token: str | None) -> None:
    row = hold.row
    hold.write(
        due_at=clock.now() + timedelta(seconds=desk.settings.lease_s) + SLACK,
        job=_job_id() or row.job,
    )
    folder = desk.core.temp_dir / "social" / row.id
    try:
        publisher = publishers.get(row.platform)()
        publisher.run(_make_run(desk, hold, token, publisher))
    except Postponed as error:
        hold.write(due_at=error.until + SLACK)
        raise
    except AuthorizationError as error:
        if not _park(hold, error):
            _fail(hold, error)
            raise
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
            shutil.rmtree(folder, ignore_errors=True)


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
        source=_source(desk, desk.core.temp_dir / "social" / row.id),
        gate=gate,
        make_client=publisher.make_client,
        stop=jobs.current().check,
    )


def _follow(desk: Desk, row: Publication) -> dict[str, Any]:
    """Learn where a published post is seen; it is published whatever comes of that."""
    publisher, token = publishers.get(row.platform)(), desk.table.token(row)
    with _held(desk, row) as hold:
        try:
            if publisher.follow(_make_run(desk, hold, token, publisher)):
                _emit(LOCATED, hold.row)
        except Postponed as error:
            hold.write(due_at=error.until + SLACK)
            raise
        except NexusError as error:
            log.info("social.post_not_located", publication=row.id, code=error.code)
            hold.write(due_at=None)
        return hold.row.to_json()


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


def _source(desk: Desk, folder: Path) -> Source:
    guard = Guard(GuardSettings.load())
    return Source(desk.core, folder, desk.settings.max_file_bytes, guard)


def _park(hold: Hold, error: AuthorizationError) -> bool:
    """Let a publication wait for its account's owner, if it has one to wait for."""
    row = hold.row
    if row.account is None or row.phase is Phase.DONE:
        return False
    hold.write(
        state=State.PARKED,
        error=describe_error(error),
        due_at=clock.now(),
        notes=hold.note("parked", code=error.code),
    )
    return True


def _is_connected(desk: Desk, row: Publication) -> bool:
    if row.account is None or desk.tokens is None:
        return False
    found = desk.tokens.store.get(row.platform, row.account)
    return found.state is AccountState.ACTIVE


def _fail(hold: Hold, error: NexusError) -> None:
    """Write why nothing was posted; of what was taken, that it is not known how."""
    row = hold.row
    told = describe_error(error)
    if row.phase is Phase.DONE:  # the flow has written it
        _tell(row)
        return
    if row.phase is Phase.CONFIRM or row.attempt is not None:
        state = State.UNCONFIRMED
    else:
        state = State.FAILED
    hold.write(state=state, phase=Phase.DONE, error=told, due_at=None)
    _tell(hold.row)


def _count(desk: Desk, hold: Hold, error: NexusError) -> None:
    """Count a run that failed for a reason that may pass; too many are the end."""
    failures = hold.row.failures + 1
    if failures >= desk.settings.max_failures:
        _fail(hold, error)
        return
    pause = min(BACKOFF_S * 2 ** (failures - 1), 3600)
    due = clock.now() + timedelta(seconds=pause)
    hold.write(failures=failures, error=describe_error(error), due_at=due)


@contextmanager
def _held(desk: Desk, row: Publication) -> Iterator[Hold]:
    hold = desk.table.hold(row.id, lease_s=desk.settings.lease_s)
    try:
        yield hold
    finally:
        hold.release()


def _stored(request: PublishPostRequest) -> dict[str, Any]:
    """Return what the row keeps of a request: no secrets."""
    known = {"content", "settings", "publish_at"}
    id_ = request.credentials.account_id if request.credentials else None
    return {**request.model_dump(mode="json", include=known), "account_id": id_}


def _send_later(actor: Any, row: Publication, at: datetime) -> None:
    """Set the alarm of a publication; the row keeps the time, should it be lost."""
    wait = max(timedelta(), at - clock.now())
    actor.send_with_options(
        kwargs={"publication": row.id}, delay=round(wait.total_seconds() * 1000)
    )


def _job_id() -> str | None:
    job = jobs.running()
    return job.id if job else None


def _tell(row: Publication) -> None:
    if name := TOLD.get(row.state):
        PUBLICATIONS.inc(platform=row.platform, outcome=row.state.value)
        _emit(name, row)


def _emit(name: str, row: Publication) -> None:
    body = {
        "publication": row.id,
        "platform": row.platform,
        "account": row.account,
        "remote_id": row.remote_id,
        "url": row.url,
        "title": _title(row),
    }
    if row.error:
        body["code"] = row.error["code"]
    events.emit(name, body, job=row.job or "")


def _title(row: Publication) -> str:
    """Return what a person knows the post by."""
    content = row.request["content"]
    text = content.get("title") or content.get("description") or ""
    return str(text.strip().partition("\n")[0][:100])


def _told_of_account(platform: str, account: str, reason: str) -> None:
    events.emit(
        ACCOUNT_LOST,
        {"platform": platform, "account": account, "reason": reason},
    )
