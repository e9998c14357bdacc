"""What a publisher is: the flow, which is the same for all, and what each fills in.

::

    prepare ──> transfer ──> commit ──> confirm ──> done

Each arrow is a write to the publication's row.  The irreversible call, which is the
last part of the transfer on some platforms, has one before it as well, and a run that
finds that mark without a result asks the platform what happened before it does
anything else.  It never makes the call a second time unless the first has certainly
come to nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, final

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    NexusError,
    PermanentError,
    Postponed,
    RejectedError,
    RemoteUnavailableError,
    UnknownOutcomeError,
)
from nexus_actors.core.http import Answer, ApiClient, Call
from nexus_actors.core.logs import get_logger
from nexus_actors.core.registry import Registry
from nexus_actors.platforms.settings import PlatformSettings
from nexus_actors.platforms.verdicts import SessionLostError

from .choice import choose, note
from .models import Content, PostSettings
from .row import LOCATED, TOLD, Phase, Publication, State
from .rules import refuse, refuse_media
from .run import Found, Outcome, Part, Run


log = get_logger(__name__)

#: How often a step beside the post is tried.
STEP_TRIES: Final = 3

#: After how long it is asked again where a post can be seen; about a day in all.
LOCATE_S: Final = (60, 240, 600, 2700, *(3600,) * 23)

#: The longest wait for that before a post is told to be published.
PATIENCE: Final = timedelta(minutes=1)

#: How often a post is looked at that was given up while it was processed, and for how
#: long.
LATE_LOOK: Final = timedelta(hours=6)
LATE_LOOKS: Final = timedelta(days=7)

#: What the time is called since which a post is processed.
PROCESSED: Final = "processed"

#: How often in a row an upload may make no progress.
STANDSTILLS: Final = 5


class Publisher(ABC):
    """Publishes posts to one platform.

    `run` is the same for all platforms and is not overridden: a subclass says how
    requests are spelled and what answers mean, keeps what it must remember with
    `Run.save`, and neither retries, nor waits, nor decides what follows.
    """

    name: ClassVar[str]

    @staticmethod
    @abstractmethod
    def make_client(settings: PlatformSettings, token: str) -> ApiClient:
        """Return the client for an account's token."""

    def check(self, content: Content, options: PostSettings) -> None:
        """Refuse what can be told to be wrong without any call.

        By default that is what breaks the platform's `rules.RULES`, if it has any.

        Raises:
            InvalidRequestError: Naming everything that is wrong.
        """
        refuse(self.name, content, options)

    def check_media(self, run: Run, media: Mapping[str, Any]) -> None:
        """Refuse a video by what was read of it, before a byte is sent; likewise.

        Args:
            run: The publication's.
            media: What `probe.probe` returns, as far as it is known.

        Raises:
            RejectedError: Naming every rule that it breaks.
        """
        refuse_media(self.name, run.kind, media)

    @abstractmethod
    def prepare(self, run: Run) -> None:
        """Open what the transfer goes to, and save it; may be repeated freely."""

    def resume(self, run: Run) -> str | None:  # noqa: ARG002 - not all have bytes to send
        """Ask how much the platform has of an upload that was broken off; save it.

        Returns:
            The post's id, if the platform has all and has published it.

        Raises:
            SessionLostError: The upload is gone, and nothing came of it.
        """
        return None

    def next_part(self, run: Run) -> Part | None:  # noqa: ARG002 - of those that have
        """Return the next bytes to send, or ``None`` when all are sent."""
        return None

    def read_part(self, run: Run, answer: Answer) -> str | None:  # noqa: ARG002 - likewise
        """Save how far the upload is; return the post's id if it is published now."""
        return None

    def ready(self, run: Run) -> str | None:  # noqa: ARG002 - not all let wait
        """Return if the commit can be made.

        Returns:
            The post's id, if it turns out to be made.

        Raises:
            Postponed: Not yet.
            SessionLostError: It never can: begin again.
        """
        return None

    @abstractmethod
    def commit(self, run: Run) -> Call:
        """Return the irreversible call; not asked of what a last part publishes."""

    @abstractmethod
    def read_commit(self, run: Run, answer: Answer) -> str:
        """Return the id of the post, or what it will be found by."""

    @abstractmethod
    def reconcile(self, run: Run) -> Found:
        """Find out, by reading alone, what has become of the irreversible call."""

    @abstractmethod
    def confirm(self, run: Run) -> Outcome:
        """Look at what has become of the post, by reading alone."""

    def locate(self, run: Run) -> Outcome | None:  # noqa: ARG002 - of those that have
        """Read under which id and URL a published post is seen; None if not yet."""
        return None

    def steps(self, run: Run) -> Mapping[str, Callable[[Run], None]]:  # noqa: ARG002 - likewise
        """Return what is done beside the post, by name; each may be repeated."""
        return {}

    @final
    def run(self, run: Run) -> None:
        """Go on with a publication until it rests, or wait.

        Raises:
            Postponed: It must wait; nothing is held up meanwhile.
            NexusError: Why it fails, or may fail for now.
        """
        hold = run.hold
        if hold.row.attempt is not None:
            self._reconcile(run)
        fresh = hold.row.phase is Phase.PREPARE
        moves = {
            Phase.PREPARE: self._prepare,
            Phase.TRANSFER: lambda run: self._transfer(run, fresh=fresh),
            Phase.COMMIT: self._commit,
            Phase.CONFIRM: self._confirm,
        }
        while hold.row.phase is not Phase.DONE:
            run.check()
            moves[hold.row.phase](run)

    def _prepare(self, run: Run) -> None:
        if "media" not in run.hold.row.request:
            note(run, choose(run, self.check_media))
        with _restarting(run):
            self.prepare(run)
        run.hold.write(phase=Phase.TRANSFER, state=State.PUBLISHING)

    def _transfer(self, run: Run, *, fresh: bool) -> None:
        with _restarting(run):
            if not fresh and (remote_id := self.resume(run)):
                self._committed(run, remote_id)
                return
            still, last, sent = 0, None, False
            while part := self.next_part(run):
                run.check()
                if part.is_commit:
                    if self._attempt(run, part.call, self.read_part):
                        return
                else:
                    self.read_part(run, run.send(part.call))
                sent = True
                still = still + 1 if run.checkpoint == last else 0
                last = dict(run.checkpoint)
                if still >= STANDSTILLS:
                    raise RemoteUnavailableError(
                        f"{self.name}: the upload stands still"
                    )
            go_on = run.hold.write if sent else run.hold.stage
            go_on(phase=Phase.COMMIT)

    def _commit(self, run: Run) -> None:
        with _restarting(run):
            if remote_id := self.ready(run):
                self._committed(run, remote_id)
                return
            self._attempt(run, self.commit(run), self.read_commit)

    def _attempt(
        self, run: Run, call: Call, read: Callable[[Run, Answer], str | None]
    ) -> bool:
        """Make the irreversible call; tell whether the flow has moved on by it."""
        run.gate.enter(call)  # before the mark: who waits has attempted nothing
        hold, number = run.hold, run.hold.row.attempts + 1
        at = clock.now().isoformat()
        hold.write(
            attempt={"no": number, "at": at, "phase": hold.row.phase.value},
            attempts=number,
            state=State.PUBLISHING,
        )
        try:
            remote_id = read(run, run.send_once(call))
        except UnknownOutcomeError as error:
            seen = {"reason": error.message, "code": error.code}
            hold.write(notes=hold.note("outcome_unknown", **seen))
            log.warning("social.outcome_unknown", publication=hold.row.id)
            self._reconcile(run)
            return True
        except NexusError as error:
            # the call has been refused, or has not been made
            hold.write(attempt=None, notes=hold.note("refused", code=error.code))
            raise
        if remote_id is None:
            hold.write(attempt=None)
            return False
        self._committed(run, remote_id)
        return True

    def _committed(
        self, run: Run, remote_id: str | None, url: str | None = None
    ) -> None:
        run.hold.write(
            attempt=None,
            phase=Phase.CONFIRM,
            state=State.PROCESSING,
            remote_id=remote_id,
            url=url,
            failures=0,
            error=None,
        )

    def _reconcile(self, run: Run) -> None:
        """Find out what became of the call that is marked, and write it.

        Raises:
            Postponed: It cannot be told yet.
        """
        hold, settings = run.hold, run.settings
        found = self.reconcile(run)
        now, seen = clock.now(), {"found": found.what, **found.evidence}
        if found.what == "live":
            hold.write(notes=hold.note("reconciled", **seen))
            self._committed(run, found.remote_id, found.url)
            return
        attempt = dict(hold.row.attempt or {})
        if found.what == "unseen":
            first = attempt.setdefault("unseen_at", now.isoformat())
            pause = timedelta(seconds=settings.reconcile_pause_s)
            until = datetime.fromisoformat(first) + pause
            if now < until:
                hold.write(attempt=attempt, notes=hold.note("reconciled", **seen))
                raise _look_again(until)
        elif found.what == "unclear":
            ends = run.began_at + timedelta(seconds=settings.reconcile_window_s)
            if now < ends:
                pause = max((ends - now) / 4, timedelta(seconds=5))
                raise _look_again(min(ends, now + pause))
            hold.write(
                state=State.UNCONFIRMED,
                phase=Phase.DONE,
                due_at=None,
                notes=hold.note("unconfirmed", **seen),
                error={
                    "code": "unconfirmed",
                    "message": f"{self.name} cannot tell whether the post was made: "
                    "look at the account, then `nexus-actors publications settle`",
                },
            )
            return
        again: dict[str, Any] = (
            {"checkpoint": {}} if found.resume is Phase.PREPARE else {}
        )
        notes = hold.note("reconciled", **seen)
        failures = hold.row.failures + (found.what == "unseen")
        hold.write(
            attempt=None, phase=found.resume, notes=notes, failures=failures, **again
        )
        if failures >= settings.max_failures:
            raise RejectedError(
                f"{self.name} has made no post although it was asked {failures} times",
                code="no_effect",
            )

    def _confirm(self, run: Run) -> None:
        hold = run.hold
        outcome = self.confirm(run)
        more = _named(run, outcome)
        if outcome.state is State.FAILED:
            self._failed_after(run, outcome)
            return
        if outcome.state is not State.PROCESSING or hold.row.steps.keys() <= {TOLD}:
            self._take_steps(run)
        if outcome.state is State.PROCESSING and not _is_stuck(run):
            until = clock.now() + timedelta(seconds=outcome.look_s)
            hold.stage(state=State.PROCESSING, **more)
            raise Postponed(
                f"{self.name} is processing the post", code="not_ready", until=until
            )
        if outcome.state is State.PROCESSING:
            self._give_up(run, outcome, more)
        else:
            self._rest(run, outcome, more)

    def _give_up(self, run: Run, outcome: Outcome, more: dict[str, Any]) -> None:
        """Write that nobody knows what the platform will make of the post."""
        hold, hours = run.hold, run.settings.processing_window_s / 3600
        hold.write(
            state=State.UNCONFIRMED,
            phase=Phase.DONE,
            due_at=next_look(hold.row, run.settings.processing_window_s),
            notes=hold.note("still_processing", **outcome.evidence),
            error={
                "code": "still_processing",
                "message": f"{self.name} has the post and is processing it for more "
                f"than {hours:g} hours: if it is shown after all, this will be found; "
                "look at the account, then `nexus-actors publications settle`",
            },
            **more,
        )

    def _rest(self, run: Run, outcome: Outcome, more: dict[str, Any]) -> None:
        """Write what the post has come to, and when to ask where it is seen."""
        hold, due = run.hold, None
        if outcome.evidence:
            more["notes"] = hold.note("confirmed", **outcome.evidence)
        if more["url"] is None and outcome.locate_s is not None:
            more |= {} if outcome.locate_s else self._located(run)
            if more["url"] is None:
                pause = outcome.locate_s or LOCATE_S[0]
                due = clock.now() + timedelta(seconds=pause)
        hold.write(
            state=outcome.state, phase=Phase.DONE, due_at=due, error=None, **more
        )

    @final
    def follow(self, run: Run) -> None:
        """Ask again where a published post is seen, and have that told if it is known.

        Of one that was processed for too long, ask whether it has come to something.

        Raises:
            Postponed: It cannot be asked just now.
        """
        hold, due = run.hold, None
        if hold.row.state is State.UNCONFIRMED:
            self._look_late(run)
            return
        tries = hold.row.steps.get("locate", {}).get("tries", 0) + 1
        more = self._located(run)
        if more["url"] is None and tries < len(LOCATE_S):
            due = clock.now() + timedelta(seconds=LOCATE_S[tries])
        told = {"tries": tries, "done": more["url"] is not None}
        steps = {**hold.row.steps, "locate": told}
        tells = LOCATED if more["url"] is not None else None
        hold.write(tells=tells, due_at=due, steps=steps, **more)

    def _look_late(self, run: Run) -> None:
        """Write what a post has come to that was given up, if it has."""
        hold, outcome = run.hold, self.confirm(run)
        if outcome.state is State.FAILED:  # so late, a person says whether to try again
            error = outcome.error or RejectedError(f"{self.name} has not posted it")
            notes = hold.note("not_posted", code=error.code, **outcome.evidence)
            told = describe_error(error)
            hold.write(state=State.FAILED, due_at=None, error=told, notes=notes)
        elif outcome.state is not State.PROCESSING:
            self._rest(run, outcome, _named(run, outcome))

    def _located(self, run: Run) -> dict[str, str | None]:
        """Return id and URL as far as they are known; the post is there all the same.

        Raises:
            Postponed: They will be in a moment.
        """
        row, found = run.hold.row, None
        try:
            found = self.locate(run)
        except Postponed as error:
            if error.until - clock.now() <= PATIENCE:
                raise
        except NexusError as error:
            log.info("social.post_not_located", publication=row.id, code=error.code)
        if found is None:
            return {"remote_id": row.remote_id, "url": row.url}
        return {"remote_id": found.remote_id or row.remote_id, "url": found.url}

    def _failed_after(self, run: Run, outcome: Outcome) -> None:
        """End, or begin again, what the platform has taken and then not posted."""
        error = outcome.error or RejectedError(f"{self.name} has not taken the post")
        hold = run.hold
        notes = hold.note("not_posted", code=error.code, **outcome.evidence)
        if isinstance(error, SessionLostError | Postponed):
            hold.write(
                phase=Phase.PREPARE,
                state=State.PUBLISHING,
                remote_id=None,
                url=None,
                checkpoint={},
                notes=notes,
            )
        else:
            ends = {"state": State.FAILED, "phase": Phase.DONE, "due_at": None}
            hold.write(notes=notes, error=describe_error(error), **ends)
        raise error

    def _take_steps(self, run: Run) -> None:
        hold = run.hold
        for name, step in self.steps(run).items():
            told = dict(hold.row.steps.get(name, {"tries": 0}))
            if told.get("done") or told.get("given_up"):
                continue
            told["tries"] += 1
            try:
                step(run)
            except Postponed:
                raise
            except NexusError as error:
                told |= {"code": error.code, "message": error.message}
                last = told["tries"] >= STEP_TRIES
                told["given_up"] = last or isinstance(error, PermanentError)
                log.warning("social.step_failed", step=name, code=error.code)
            else:
                told |= {"done": True}
            hold.write(steps={**hold.row.steps, name: told})


@contextmanager
def _restarting(run: Run) -> Iterator[None]:
    """Begin again when the upload or draft is gone, and nothing came of it."""
    try:
        yield
    except SessionLostError as error:
        hold = run.hold
        if hold.row.attempt is None:  # else that is not known
            notes = hold.note("began_again", reason=error.message)
            hold.write(phase=Phase.PREPARE, checkpoint={}, notes=notes)
        raise


def _named(run: Run, outcome: Outcome) -> dict[str, Any]:
    """Return id and URL of a post, as far as they are known."""
    row = run.hold.row
    return {
        "remote_id": outcome.remote_id or row.remote_id,
        "url": outcome.url or row.url,
    }


def _is_stuck(run: Run) -> bool:
    """Tell whether a post is processed for too long; that it waits is no processing."""
    at = run.platform_publishes_at
    if at is not None and clock.now() < at:
        return False
    return run.waited(PROCESSED) > run.settings.processing_window_s


def next_look(row: Publication, window_s: float) -> datetime | None:
    """Return when to look again at a post that was given up while it was processed."""
    since = datetime.fromisoformat(row.checkpoint[f"{PROCESSED}_since"])
    later = clock.now() + LATE_LOOK
    ends = since + timedelta(seconds=window_s) + LATE_LOOKS
    return later if later <= ends else None


def describe_error(error: NexusError) -> dict[str, Any]:
    """Return what a publication tells of *error*."""
    known = ("reason", "status", "request_id", "violations", "variables")
    more = {name: error.details[name] for name in known if name in error.details}
    return {"code": error.code, "message": error.message, **more}


def _look_again(until: datetime) -> Postponed:
    return Postponed(
        "the outcome of the post is not known yet", code="unknown", until=until
    )


publishers: Final[Registry[Publisher]] = Registry(
    "publisher",
    Publisher,
    {
        "youtube": ("nexus_actors.social.adapters.youtube:YouTubePublisher", None),
        "tiktok": ("nexus_actors.social.adapters.tiktok:TikTokPublisher", None),
        "instagram": (
            "nexus_actors.social.adapters.instagram:InstagramPublisher",
            None,
        ),
        "facebook": ("nexus_actors.social.adapters.facebook:FacebookPublisher", None),
    },
    group="nexus_actors.publishers",
)
