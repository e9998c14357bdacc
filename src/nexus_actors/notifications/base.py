"""What a provider promises, and the providers that there are.

A provider makes one call to one vendor and says what came of it, in the words of our
errors.  It never retries, sleeps or logs: the queue, the ledger and the policy of the
channel decide what follows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Self, TypeVar

from nexus_actors.core.errors import UnknownOutcomeError, UnsupportedFeatureError
from nexus_actors.core.registry import Registry
from nexus_actors.core.transport import Limits

from .content import Channel, Content


if TYPE_CHECKING:
    from .events import DeliveryEvent

C = TypeVar("C", bound=Content)

#: What one call to a vendor may take.  A claim's lease is longer than all of it.
LIMITS: Final = Limits(connect_s=5, read_s=15, total_s=30, answer_bytes=1 << 16)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many calls a vendor says that it still takes, before *reset*."""

    remaining: int
    reset: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a vendor said when it took a delivery; that is not yet its arrival.

    Attributes:
        provider_id: By which the vendor's events name it.
        details: What else is worth keeping; no secrets, nothing personal.
        allowance: What the answer says of the vendor's limit, if it says something.
    """

    provider_id: str
    details: Mapping[str, Any] = field(default_factory=dict)
    allowance: Allowance | None = None


class Provider(ABC, Generic[C]):
    """Delivers content of a channel by one vendor.

    Attributes:
        name: As in settings and in the registry.
        channels: What it can deliver.
        can_find: Whether `find` tells what became of a call whose answer was lost.
        knows_repeats: Whether a repeated delivery of one id reaches the person, or the
            program, as one: it then may be repeated when its outcome is unknown.
    """

    name: ClassVar[str]
    channels: ClassVar[frozenset[Channel]]
    can_find: ClassVar[bool] = False
    knows_repeats: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def connect(cls) -> Self:
        """Make one from the environment; opens no connection yet.

        Raises:
            ConfigurationError: A setting is missing; names it.
        """

    @abstractmethod
    def deliver(self, content: C, *, delivery_id: str) -> Receipt:
        """Make the call, once.

        *delivery_id* is the same in each attempt; it goes to the vendor where there is
        a place for it.

        Raises:
            RemoteUnavailableError: Nothing was delivered; trying again may help.
            Postponed: Nothing was delivered; the vendor asks to come again later.
            AuthorizationError: Nothing was delivered; the credentials are not good.
            TargetGoneError: The recipient cannot be reached there any more.
            RejectedError: The vendor will not deliver this.
            UnknownOutcomeError: It may have been delivered.
        """

    def find(self, content: C, *, delivery_id: str, since: datetime) -> Receipt | None:
        """Look whether the vendor has a delivery whose answer was lost.

        *since* is when its call began.

        Returns:
            Its receipt; or nothing, if it has certainly not been made.

        Raises:
            UnknownOutcomeError: That cannot be told.
        """
        del content, delivery_id, since
        raise UnknownOutcomeError(f"{self.name} cannot tell what it has delivered")

    def fails_with(self, content: C) -> str:
        """Return the name of what fails together: the provider's own, mostly.

        Where that has failed some times in a row, it is left alone for a while.
        """
        del content
        return self.name

    def limited_with(self, content: C) -> str:
        """Return the name of what the vendor limits together; likewise."""
        return self.fails_with(content)

    @classmethod
    def read_events(
        cls, headers: Mapping[str, str], body: bytes, *, url: str | None
    ) -> list[DeliveryEvent]:
        """Return what a request of the vendor tells; see `receive_events`.

        Raises:
            SignatureError: It is not signed by the vendor, or is too old.
        """
        del headers, body, url
        raise UnsupportedFeatureError(f"{cls.name} tells nothing of its deliveries")


providers: Final[Registry[Provider[Any]]] = Registry(
    "provider",
    Provider,
    {
        "file": ("nexus_actors.notifications.adapters.file:FileProvider", None),
        "firebase": (
            "nexus_actors.notifications.adapters.firebase:FirebaseProvider",
            "firebase",
        ),
        "sendgrid": (
            "nexus_actors.notifications.adapters.sendgrid:SendGridProvider",
            "sendgrid",
        ),
        "slack": ("nexus_actors.notifications.adapters.slack:SlackProvider", "slack"),
        "twilio": (
            "nexus_actors.notifications.adapters.twilio:TwilioProvider",
            "twilio",
        ),
        "webhook": (
            "nexus_actors.notifications.adapters.webhook:WebhookProvider",
            "notifications",
        ),
    },
    group="nexus_actors.providers",
)
