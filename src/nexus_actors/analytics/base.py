"""What a collector is: it reads the figures of one platform, and nothing else.

Which posts are read, in what parts, and what becomes of the figures, is the same for
all platforms and stands in `connect`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from nexus_actors.core.errors import AuthorizationError
from nexus_actors.core.http import Answer, ApiClient, Call
from nexus_actors.core.registry import Registry
from nexus_actors.platforms.settings import PlatformSettings

from .readings import AccountReading, PostReading


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
    """

    make_client: Callable[[PlatformSettings, str], ApiClient]
    platforms: PlatformSettings
    token: str
    renew: Callable[[str], str] | None = None
    stop: Callable[[], None] = lambda: None

    def send(self, call: Call) -> Answer:
        """Make a call that reads.

        Raises:
            NexusError: As `ApiClient.send` does.
        """
        try:
            return self._send(call)
        except AuthorizationError as error:
            if error.code != "token_expired" or self.renew is None:
                raise
        renew, self.renew = self.renew, None  # once
        self.token = renew(self.token)
        return self._send(call)

    def _send(self, call: Call) -> Answer:
        client = self.make_client(self.platforms, self.token)
        return client.send(call, check=self.stop)


class Collector(ABC):
    """Reads the cumulative figures of one platform's accounts and posts.

    A figure that is not there is a `State` that says why, and never 0.  A subclass
    neither retries, nor waits, nor stores.

    Attributes:
        batch: How many posts one call can name.
    """

    name: ClassVar[str]
    batch: ClassVar[int]

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


#: All collectors, by platform.
collectors: Final[Registry[Collector]] = Registry(
    "collector",
    Collector,
    {
        "instagram": (
            "nexus_actors.analytics.adapters.instagram:InstagramCollector",
            None,
        ),
        "tiktok": ("nexus_actors.analytics.adapters.tiktok:TikTokCollector", None),
        "youtube": ("nexus_actors.analytics.adapters.youtube:YouTubeCollector", None),
    },
    group="nexus_actors.collectors",
)
