"""What a publisher works with: a run of a publication, and what it says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, Literal

from nexus_actors.core import clock, releases
from nexus_actors.core.errors import (
    AuthorizationError,
    NexusError,
    Postponed,
    RejectedError,
    RemoteUnavailableError,
    TransientError,
    UnknownOutcomeError,
)
from nexus_actors.core.http import Answer, ApiClient, Call
from nexus_actors.core.logs import get_logger
from nexus_actors.platforms.gate import Gate
from nexus_actors.platforms.settings import PlatformSettings

from .models import Content, Kind, PostSettings, digest, instant
from .publications import Hold
from .row import Phase, State
from .rules import kind_of
from .settings import SocialSettings
from .sources import Source


log = get_logger(__name__)

#: The platforms' ids of accounts, by what tells their tokens apart: they never change,
#: and asking for one counts against the account's limits.
_ids: dict[str, str] = {}
MOST_IDS: Final = 10_000


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
        locate_s: Of a published one without a URL: when to ask `Publisher.locate`.
        evidence: What a person should know of it; it is noted, of one that is processed
            once that takes too long.
    """

    state: State
    remote_id: str | None = None
    url: str | None = None
    error: NexusError | None = None
    look_s: float = 5
    locate_s: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Access:
    """The token that acts for the account, and a way to a newer one.

    Attributes:
        is_new: Whether the token is one that was renewed in this run.
    """

    token: str
    account_id: str | None = None
    renew: Callable[[str], str] | None = None
    is_new: bool = False


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of a publication: what an adapter may look at and use.

    Attributes:
        source: Brings the files of the content here.
        gate: What each call passes.
        stop: Called often; raises if the job must stop.
    """

    hold: Hold
    access: Access
    platforms: PlatformSettings
    settings: SocialSettings
    source: Source
    gate: Gate
    make_client: Callable[[PlatformSettings, str], ApiClient]
    stop: Callable[[], None] = lambda: None
    _client: ApiClient | None = None

    @property
    def content(self) -> Content:
        """What is to be said; of a `video_id`, the file that was chosen is its path."""
        with self._leaving():
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
        with self._leaving():
            settings = self.hold.row.request["settings"]
            return PostSettings.parse(settings, what="settings")

    def _leaving(self) -> AbstractContextManager[None]:
        return releases.leaving(self.hold.row.request.get(releases.NAME))

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

    def account_id(self, read: Callable[[Run], str]) -> str:
        """Return the platform's id of the account; *read* asks for one not known."""
        if self.access.account_id:
            return self.access.account_id
        token = digest(f"token of {self.hold.row.platform}", self.access.token)
        if token not in _ids:
            if len(_ids) >= MOST_IDS:
                _ids.clear()
            _ids[token] = read(self)
        return _ids[token]

    def waited(self, what: str) -> float:
        """Return for how many seconds *what* is waited for since it was first asked."""
        now, name = clock.now(), f"{what}_since"
        if name not in self.checkpoint:
            self.note(**{name: now.isoformat()})
        since = datetime.fromisoformat(self.checkpoint[name])
        return (now - since).total_seconds()

    def note(self, **values: Any) -> None:
        """Keep what the next run could find out again, with what is saved next."""
        self.hold.stage(checkpoint={**self.checkpoint, **values})

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
        self.gate.enter(call)
        try:
            return self._with_good_token(call, self.check)
        except UnknownOutcomeError as error:
            raise RemoteUnavailableError(error.message, **error.details) from error
        except RejectedError as error:
            if not _is_strange(error):
                raise
            raise RemoteUnavailableError(error.message, **error.details) from error

    def send_once(self, call: Call) -> Answer:
        """Make the irreversible call, after `Gate.enter`; a shutdown waits for it.

        Raises:
            NexusError: As `ApiClient.send` does; what is no answer of the platform's
                proves nothing.
        """
        try:
            return self._with_good_token(call, self._keep)
        except (RejectedError, Postponed) as error:
            if not _is_strange(error):
                raise
            raise UnknownOutcomeError(error.message, **error.details) from error

    def _with_good_token(self, call: Call, check: Callable[[], None]) -> Answer:
        return self.gate.watch(lambda: self._renewing(call, check))

    def _renewing(self, call: Call, check: Callable[[], None]) -> Answer:
        try:
            return self.client.send(call, check=check)
        except AuthorizationError as error:
            if (
                error.code != "token_expired"
                or not self.access.renew
                or self.access.is_new
            ):
                raise
        old = self.access.token
        self.access.token = self.access.renew(old)
        self.access.is_new, self._client = True, None
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
            client = self.make_client(self.platforms, self.access.token)
            self._client = replace(client, on_answer=self.gate.read)
        return self._client


def _is_strange(error: RejectedError | Postponed) -> bool:
    """Tell whether an answer is a redirect, 404 or 503 without a platform's reason.

    So answers what stands before a platform, and what that says of a call is nothing.
    """
    status = int(error.details.get("status") or 0)
    strange = (HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE)
    is_redirect = 300 <= status < 400  # noqa: PLR2004 - 3xx
    return "reason" not in error.details and (is_redirect or status in strange)
