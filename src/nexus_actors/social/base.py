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
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Literal, final

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    AuthorizationError,
    NexusError,
    PermanentError,
    Postponed,
    RejectedError,
    RemoteUnavailableError,
    TransientError,
    UnknownOutcomeError,
)
from nexus_actors.core.http import Answer, ApiClient, Call
from nexus_actors.core.logs import get_logger
from nexus_actors.core.registry import Registry
from nexus_actors.platforms.settings import PlatformSettings
from nexus_actors.platforms.verdicts import SessionLostError

from .models import Content, Kind, PostSettings, instant
from .probe import probe
from .publications import Hold, Phase, State
from .rules import kind_of
from .settings import SocialSettings
from .sources import Source


log = get_logger(__name__)

#: How often a step beside the post is tried.
STEP_TRIES: Final = 3

#: How often in a row an upload may make no progress.
STANDSTILLS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The next bytes of an upload.

    Attributes:
        is_commit: Whether the platform publishes when it has them.
    """

    call: Call
    is_commit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a platform knows of a call whose answer was lost.

    Attributes:
        what: ``live``: it has taken effect.  ``none``: it certainly has not.
            ``unseen``: it is not seen, which is proof when seen twice with a pause
            between.  ``unclear``: it is not seen, and that proves nothing.
        remote_id: Of what is live, if it is known.
        resume: The phase to go on with, of what is not live.
        evidence: What was seen.
    """

    what: Literal["live", "none", "unseen", "unclear"]
    remote_id: str | None = None
    url: str | None = None
    resume: Phase = Phase.COMMIT
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What has become of a post after its commit.

    Attributes:
        state: ``processing``, ``published``, ``awaiting_user`` or ``failed``.
        error: Of one that has failed: whatever it is, nothing was posted.
        look_s: When to look again at one that is processed.
    """

    state: State
    remote_id: str | None = None
    url: str | None = None
    error: NexusError | None = None
    look_s: float = 5
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Access:
    """The token that acts for the account, and a way to a newer one."""

    token: str
    account_id: str | None = None
    renew: Callable[[str], str] | None = None


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of a publication: what an adapter may look at and use.

    Attributes:
        source: Brings the files of the content here.
        stop: Called often; raises if the job must stop.
    """

    hold: Hold
    access: Access
    platforms: PlatformSettings
    settings: SocialSettings
    source: Source
    make_client: Callable[[PlatformSettings, str], ApiClient]
    stop: Callable[[], None] = lambda: None
    _renewed: bool = False
    _client: ApiClient | None = None

    @property
    def content(self) -> Content:
        """What is to be said; of a `video_id`, the file that was chosen is its path."""
        content = Content.parse(self.hold.row.request["content"], what="content")
        chosen = self.hold.row.request.get("video", content.video_path)
        return content.model_copy(update={"video_path": chosen})

    @property
    def media(self) -> Mapping[str, Any]:
        """What was read of the video; empty where that could not be done."""
        found: Mapping[str, Any] = self.hold.row.request.get("media") or {}
        return found

    @property
    def options(self) -> PostSettings:
        """How it is to be posted."""
        return PostSettings.parse(self.hold.row.request["settings"], what="settings")

    @property
    def checkpoint(self) -> Mapping[str, Any]:
        """What was saved of this publication."""
        return self.hold.row.checkpoint

    @property
    def kind(self) -> Kind:
        """As what it is posted."""
        return kind_of(self.hold.row.platform, self.content, self.options)

    @property
    def platform_publishes_at(self) -> datetime | None:
        """When the platform itself shall show the post, if that is asked of it."""
        if self.options.schedule_mode != "platform":
            return None
        return instant(self.hold.row.request.get("publish_at"))

    @property
    def began_at(self) -> datetime:
        """When the irreversible call that is under way was begun."""
        attempt = self.hold.row.attempt or {}
        return datetime.fromisoformat(str(attempt["at"]))

    @property
    def marker(self) -> str:
        """A word by which this publication is known where a platform keeps one."""
        return f"nx-{self.hold.row.id}"

    def save(self, **values: Any) -> None:
        """Write what the next run must know."""
        self.hold.write(checkpoint={**self.checkpoint, **values})

    def check(self) -> None:
        """Renew the lease, and return if the job may go on."""
        self.stop()
        self.hold.renew()

    def send(self, call: Call) -> Answer:
        """Make a call that publishes nothing, with a token that is good.

        Raises:
            NexusError: As `ApiClient.send` does; never that an outcome is unknown.
        """
        try:
            return self._with_good_token(call, self.check)
        except UnknownOutcomeError as error:
            raise RemoteUnavailableError(error.message, **error.details) from error

    def send_once(self, call: Call) -> Answer:
        """Make the irreversible call; a shutdown waits for its end."""
        return self._with_good_token(call, self._keep)

    def _with_good_token(self, call: Call, check: Callable[[], None]) -> Answer:
        try:
            return self.client.send(call, check=check)
        except AuthorizationError as error:
            if error.code != "token_expired" or not self.access.renew or self._renewed:
                raise
        old = self.access.token
        self.access.token = self.access.renew(old)
        self._renewed, self._client = True, None
        headers = {
            name: value.replace(old, self.access.token)
            for name, value in call.headers.items()
        }
        return self.client.send(replace(call, headers=headers), check=check)

    def _keep(self) -> None:
        try:
            self.hold.renew()
        except TransientError as error:
            log.warning("social.lease_not_renewed", reason=error.code)

    @property
    def client(self) -> ApiClient:
        """The client that acts for the account."""
        if self._client is None:
            self._client = self.make_client(self.platforms, self.access.token)
        return self._client


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

    @abstractmethod
    def check(self, content: Content, options: PostSettings) -> None:
        """Refuse what can be told to be wrong without any call.

        Raises:
            InvalidRequestError: Naming everything that is wrong.
        """

    def check_media(self, run: Run, media: Mapping[str, Any]) -> None:  # noqa: B027 - not all have rules
        """Refuse a video by what was read of it, before a byte is sent.

        Args:
            run: The publication's.
            media: ``container``, ``codec``, ``size``, ``duration_s``, ``fps``,
                ``width`` and ``height``, as far as they are known.

        Raises:
            RejectedError: Naming every rule that it breaks.
        """

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
            request = {**run.hold.row.request, **self._choose(run)}
            run.hold.write(request=request)
        self.prepare(run)
        run.hold.write(phase=Phase.TRANSFER, state=State.PUBLISHING)

    def _choose(self, run: Run) -> dict[str, Any]:
        """Return the video to send and what was read of it: the best that is taken.

        Raises:
            RejectedError: None is; names what is wrong with the smallest.
        """
        content = run.content
        if content.video_id is not None:
            candidates = run.source.renditions(content.video_id, check=run.check)
        elif content.video_path and run.options.transfer == "upload":
            candidates = [content.video_path]
        else:
            return {"media": None}  # the platform looks at what it fetches
        refused: RejectedError | None = None
        for candidate in candidates:
            path = run.source.bring(candidate, check=run.check)
            media = probe(path, run.settings.ffprobe)
            try:
                self.check_media(run, media or {})
            except RejectedError as error:
                refused = error
            else:
                return {"video": candidate, "media": media}
        raise refused or RejectedError("there is no video", code="not_found")

    def _transfer(self, run: Run, *, fresh: bool) -> None:
        with _restarting(run):
            if not fresh and (remote_id := self.resume(run)):
                self._committed(run, remote_id)
                return
            still, last = 0, None
            while part := self.next_part(run):
                run.check()
                if part.is_commit:
                    if self._attempt(run, part.call, self.read_part):
                        return
                else:
                    self.read_part(run, run.send(part.call))
                still = still + 1 if run.checkpoint == last else 0
                last = dict(run.checkpoint)
                if still >= STANDSTILLS:
                    raise RemoteUnavailableError(
                        f"{self.name}: the upload stands still"
                    )
            run.hold.write(phase=Phase.COMMIT)

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
        hold.write(attempt=None, phase=found.resume, notes=notes, **again)

    def _confirm(self, run: Run) -> None:
        hold = run.hold
        outcome = self.confirm(run)
        more = {
            "remote_id": outcome.remote_id or hold.row.remote_id,
            "url": outcome.url or hold.row.url,
        }
        if outcome.state is State.FAILED:
            self._failed_after(run, outcome)
            return
        if outcome.state is not State.PROCESSING or hold.row.steps == {}:
            self._take_steps(run)
        if outcome.state is State.PROCESSING:
            until = clock.now() + timedelta(seconds=outcome.look_s)
            hold.write(state=State.PROCESSING, **more)
            raise Postponed(
                f"{self.name} is processing the post", code="not_ready", until=until
            )
        hold.write(
            state=outcome.state, phase=Phase.DONE, due_at=None, error=None, **more
        )

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
