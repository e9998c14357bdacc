"""What a collector is: it reads the figures of one platform, and nothing else.

Which posts are read, in what parts, and what becomes of the figures, is the same for
all platforms and stands in `connect`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import ClassVar, Final

from nexus_actors.core import clock
from nexus_actors.core.errors import AuthorizationError, Postponed
from nexus_actors.core.http import Answer, ApiClient, Call
from nexus_actors.core.registry import Registry
from nexus_actors.platforms.gate import Gate
from nexus_actors.platforms.settings import PlatformSettings

from .readings import AccountReading, DayReading, PostReading
from .refusals import Refusals


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of an account's posts, the newest first; *cursor* leads to the next."""

    posts: tuple[PostReading, ...]
    cursor: str | None = None


@dataclass(slots=True, kw_only=True)
class Access:
    """Makes calls that act for an account, with a token that is good.

    Attributes:
        renew: Gives another token than the one that was refused; of a token that came
            with the message there is no other.
        stop: Called often; raises if the job must stop.
        gate: What each call passes: budgets and circuits.
        refusals: The names of metrics that are not taken, which may grow.
        formats: Of posts that are known already: some platforms must be asked by it.
    """

    make_client: Callable[[PlatformSettings, str], ApiClient]
    platforms: PlatformSettings
    token: str
    renew: Callable[[str], str] | None = None
    stop: Callable[[], None] = lambda: None
    gate: Gate | None = None
    refusals: Refusals = field(default_factory=Refusals)
    formats: Mapping[str, str] = field(default_factory=dict)

    def send(
        self,
        call: Call,
        *,
        base_url: str | None = None,
        examine: Callable[[Answer], None] = lambda _: None,
    ) -> Answer:
        """Make a call that reads.

        Args:
            call: What is asked.
            base_url: Another one than the client has.
            examine: Raises the error that an answer is, beside what the client sees.

        Raises:
            NexusError: As `ApiClient.send` does; that there is no room for the call
                only after a wait that is longer than a few seconds.
        """
        try:
            return self._send(call, base_url, examine)
        except AuthorizationError as error:
            if error.code != "token_expired" or self.renew is None:
                raise
        renew, self.renew = self.renew, None  # once
        self.token = renew(self.token)
        return self._send(call, base_url, examine)

    def _send(
        self, call: Call, base_url: str | None, examine: Callable[[Answer], None]
    ) -> Answer:
        client = self.make_client(self.platforms, self.token)
        if base_url is not None:
            client = replace(client, base_url=base_url)
        if self.gate is not None:
            client = replace(client, on_call=self._enter, on_answer=self.gate.read)

        def make() -> Answer:
            answer = client.send(call, check=self.stop)
            examine(answer)
            return answer

        return make() if self.gate is None else self.gate.watch(make)

    def _enter(self, call: Call) -> None:
        """Wait for room, if that is not long."""
        while True:
            self.stop()
            assert self.gate is not None  # noqa: S101 - called where there is one
            try:
                return self.gate.enter(call)
            except Postponed as error:
                wait_s = (error.until - clock.now()).total_seconds()
                if error.code != "budget" or wait_s > PATIENCE_S:
                    raise
                clock.sleep(max(0.0, wait_s))


#: How long a job waits for room by itself; a longer wait is another run.
PATIENCE_S: Final = 5.0


class Collector(ABC):
    """Reads the cumulative figures of one platform's accounts and posts.

    A figure that is not there is a `State` that says why, and never 0.  A subclass
    neither retries, nor waits, nor stores.

    Attributes:
        batch: How many posts one call can name.
        day_zone: Of the platform's own days.
    """

    name: ClassVar[str]
    batch: ClassVar[int]
    day_zone: ClassVar[str] = "UTC"

    @staticmethod
    @abstractmethod
    def make_client(settings: PlatformSettings, token: str) -> ApiClient:
        """Return the client for an account's token."""

    @abstractmethod
    def read_account(self, access: Access) -> tuple[str, AccountReading]:
        """Return the platform's id of the account, and its levels."""

    @abstractmethod
    def read_posts(self, access: Access, ids: Sequence[str]) -> Sequence[PostReading]:
        """Return the figures of at most `batch` posts; those not there are left out."""

    @abstractmethod
    def list_posts(self, access: Access, account: str, cursor: str | None) -> Page:
        """Return the figures of a part of the account's posts, the newest first."""

    def read_days(
        self,
        access: Access,  # noqa: ARG002 - for those that have any
        account: str,  # noqa: ARG002
        *,
        since: date,  # noqa: ARG002
        until: date,  # noqa: ARG002
        posts: Sequence[str] = (),  # noqa: ARG002
    ) -> Sequence[DayReading]:
        """Return what the platform itself says of the days from *since* to *until*.

        Days of which it says nothing yet are left out.  Most platforms have figures of
        an account's days, and some of those of its *posts*.
        """
        return ()


#: All collectors, by platform.
collectors: Final[Registry[Collector]] = Registry(
    "collector",
    Collector,
    {
        "facebook": (
            "nexus_actors.analytics.adapters.facebook:FacebookCollector",
            None,
        ),
        "instagram": (
            "nexus_actors.analytics.adapters.instagram:InstagramCollector",
            None,
        ),
        "tiktok": ("nexus_actors.analytics.adapters.tiktok:TikTokCollector", None),
        "youtube": ("nexus_actors.analytics.adapters.youtube:YouTubeCollector", None),
    },
    group="nexus_actors.collectors",
)
