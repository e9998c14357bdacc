"""What every vendor of the sandbox has: settings, the time, and what took effect."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from .media import Media


if TYPE_CHECKING:
    from .growth import Made, World


class Settings(BaseModel):
    """How a vendor behaves; every field has a default, and may be changed at any time.

    They are changed with ``PUT /_sandbox/settings``, and are the defaults again after a
    reset.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


S = TypeVar("S", bound=Settings)


@dataclass(slots=True)
class Clock:
    """The sandbox's time: the machine's, moved by an offset that a test sets."""

    offset_s: float = 0.0

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return time.time() + self.offset_s

    def iso(self) -> str:
        """Return the time as ISO 8601, in UTC."""
        return iso(self.now())

    def date(self) -> str:
        """Return the time as the header ``Date`` has it."""
        return formatdate(self.now(), usegmt=True)


def iso(seconds: float) -> str:
    """Return seconds since the epoch as ISO 8601, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat("T", "milliseconds")


class Refusal(Exception):  # noqa: N818 - an answer, not a mistake
    """Raised anywhere below a route: the vendor answers at once, and no."""

    def __init__(
        self, status: int, body: Any, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status, body)
        self.response: Response = JSONResponse(body, status, headers)


@dataclass(slots=True)
class Effect:
    """One thing that took effect at a vendor: a post, a mail, a message.

    Attributes:
        kind: What it is, in the vendor's word.
        id: The name that the vendor, or the sender, gave it.
        request: The number of the request that brought it about.
        at: When, by the sandbox's clock.
        details: What a test or a reader of the page may want to see.
    """

    kind: str
    id: str
    request: int
    at: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened, and that the vendor tells the host's server.

    Attributes:
        id: Unique at the vendor.
        url: The address that it is told to.
        at: When it happened, in seconds since the epoch.
        content: What is told.
    """

    id: str
    url: str
    at: float
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Callback:
    """A signed request of the vendor's to the host's server; *events* are their ids."""

    url: str
    headers: dict[str, str]
    body: bytes
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A post as it stands now, for the page and for tests.

    Attributes:
        id: The vendor's name for it.
        kind: What it is, in the vendor's word: a video, a reel, a photo.
        account: The channel, page or person that it belongs to.
        text: Title or caption.
        state: In the vendor's word.
        at: When it was made, as ISO 8601.
        publish_at: When the vendor will show it by itself.
        media: Its file, below ``/_sandbox/media/<vendor>/``.
        media_type: What that is; None if it is neither a film nor a picture.
    """

    id: str
    kind: str
    account: str
    text: str
    state: str
    at: str
    publish_at: str | None = None
    media: str | None = None
    media_type: str | None = None


class Vendor(ABC, Generic[S]):
    """One vendor: its routes, its state, and the list of what took effect.

    A route is a coroutine of a starlette request.  It reads the body first and does not
    wait after that, so that what it does is one step: a fault *before* comes ahead of
    it, a fault *after* replaces its answer, and a fault *during* lets half of the body
    arrive and then breaks off.  ``await request.body()`` raises then, and nothing takes
    effect, as is right for most routes; an upload that keeps the bytes that arrive
    reads ``request.stream()`` and keeps them.

    State that changes with time is computed from `clock` when asked for; there are no
    background tasks.  A reset makes a new object.
    """

    #: The first part of its paths, and its name in truth, settings and page.
    name: ClassVar[str]

    #: The settings that it starts with.
    defaults: S

    #: Whether it sends a callback again that the host's server did not accept.
    repeats_callbacks: ClassVar[bool] = False

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.settings = self.defaults
        self.effects: list[Effect] = []
        self.media = Media()

    @abstractmethod
    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes, relative to ``/<name>``."""

    def controls(self) -> Sequence[BaseRoute]:
        """Return what else tests may ask, relative to ``/_sandbox/<name>``."""
        return ()

    def refuse_path(self, _: Request, status: int) -> Response:
        """Return the answer where no route is (404), or none for the method (405)."""
        return Response(status_code=status)

    def events(self) -> Sequence[Event]:
        """Return what has happened so far and is told to a host, in its order."""
        return ()

    def callbacks(self, _: Sequence[Event]) -> Sequence[Callback]:
        """Return the requests that tell these events."""
        return ()

    def posts(self) -> list[Post]:
        """Return the posts of a vendor that has any, in the order of their making."""
        return []

    @property
    def world(self) -> World | None:
        """Return the figures of a vendor whose posts have any."""
        return None

    def made(self) -> list[Made]:
        """Return the posts that have figures, the oldest first."""
        return []

    def plant(self, _: Sequence[float]) -> list[str]:
        """Make posts without media, as if they had been published then; return ids.

        A vendor that has no posts makes none.
        """
        return []

    def url(self, request: Request, path: str) -> str:
        """Return the address of *path* at this vendor, for an answer to *request*."""
        return f"{request.base_url.replace(path='')}/{self.name}{path}"

    def configure(self, changes: dict[str, Any]) -> None:
        """Change some of the settings.

        Raises:
            pydantic.ValidationError: There is no such setting, or not of that type.
        """
        now = self.settings.model_dump()
        self.settings = type(self.settings).model_validate(now | changes)

    def took_effect(
        self, kind: str, id_: str, request: Request, **details: Any
    ) -> Effect:
        """Record that something took effect; call it once for each time it did.

        Of the *details*, the page shows ``to``, ``title``, ``text`` and ``html`` as a
        person would see them, and all others as they are.
        """
        number = request.scope["nexus.number"]
        effect = Effect(kind, id_, number, self.clock.iso(), details)
        self.effects.append(effect)
        return effect
