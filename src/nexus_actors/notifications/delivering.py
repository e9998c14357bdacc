"""Makes one delivery: claimed, called, settled.

The queue delivers a message at least once; the ledger makes one call of it.  A call
whose answer was lost is looked up where the vendor lets us, and else follows the
policy: sent again where a repeat is harmless or the person waits for it, or left
alone and told to be unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    AuthorizationError,
    ConfigurationError,
    NexusError,
    Postponed,
    TransientError,
    UnknownOutcomeError,
)
from nexus_actors.core.ledger import Claim, Entry, Ledger, State
from nexus_actors.core.logs import get_logger
from nexus_actors.engine.instruments import counter

from . import models
from .base import Provider, Receipt, providers
from .content import Channel, Content, WebhookMessage
from .errors import NotDeliveredError, TargetGoneError
from .gate import Gate
from .lists import Reason, Suppression, Suppressions
from .models import Delivery
from .settings import NotificationSettings


if TYPE_CHECKING:
    from sqlalchemy import Connection

log = get_logger(__name__)

SENT: Final = counter(
    "nexus_notifications_total",
    "Deliveries by what became of them; no provider took those of `none`",
    channel=tuple(channel.value for channel in Channel),
    provider=("none", *providers.known),
    outcome=("accepted", "deduplicated", "failed", "suppressed"),
)

#: Whose entries in the ledger are ours.
SCOPE: Final = "notification"

#: How long a claim is good: longer than a call may take (`base.LIMITS`).
LEASE_S: Final = 90

#: When a webhook is tried again, in seconds after the attempt before: the schedule of
#: Standard Webhooks 1.0.0, 75.6 hours in all.
SCHEDULE_S: Final = (
    *(5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600),
    *(14 * 3600, 20 * 3600, 24 * 3600),
)

#: What certainly did not deliver, so that another provider may.
CLEAN: Final = (AuthorizationError, ConfigurationError, Postponed, TransientError)

#: Where an address that is gone is gone for good.
DIE: Final = frozenset({Channel.PUSH, Channel.WEBHOOK})

#: By how much waits differ, so that not all who waited come at once.
SPREAD: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be delivered to whom by which channel.

    Attributes:
        key: In the ledger.
        id: At the vendor; the same in each attempt.
        address: Where to, in the form that the suppression list knows.
        category: What the person may have left.
        required: Whether that does not count.
        again: Whether it is sent again if nobody knows what came of it.
        is_cancelled: Tells whether its sender has taken it back.
    """

    channel: Channel
    key: str
    id: str
    address: str
    content: Content
    template: str | None
    category: str
    required: bool
    again: bool | None
    is_cancelled: Callable[[], bool]

    def told(self, status: models.Status, **more: Any) -> Delivery:
        """Return what became of it."""
        return Delivery(
            channel=self.channel.value, status=status, delivery_id=self.id, **more
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Courier:
    """Makes deliveries; threads share one.

    Attributes:
        provider: Makes or returns the provider of a name.
        chance: From 0 to 1; spreads waits.
    """

    settings: NotificationSettings
    ledger: Ledger
    suppressions: Suppressions
    provider: Callable[[str], Provider[Any]]
    chance: Callable[[], float]

    def deliver(self, order: Order) -> Delivery:
        """Make the call once, or tell what has become of it.

        Raises:
            Postponed: Not now: a vendor asks to wait, or is left alone.
            TransientError: Trying again may help.
            UnknownOutcomeError: It may have been sent, and is not sent again.
            PermanentError: It cannot be sent.
        """
        failures: list[NexusError] = []
        for name in self.settings.providers_of(order.channel):
            found = self._ask(order, name)
            if isinstance(found, Delivery):
                return found
            failures.append(found)
            # thousands may wait for a provider, and why was told when that began
            tell = log.debug if isinstance(found, Postponed) else log.warning
            tell(
                "notifications.provider_failed",
                provider=name,
                delivery_id=order.id,
                error=found.message,
            )
        raise self._next(order, failures)

    def _ask(self, order: Order, name: str) -> Delivery | NexusError:
        """Have a provider deliver; return what came of it, or why another may try.

        Raises:
            NexusError: What no other provider may, or can, put right.
        """
        try:
            provider = self.provider(name)
            gate = Gate.of(
                provider,
                order.content,
                settings=self.settings,
                holder=order.id,
            )
            gate.enter()
        except (ConfigurationError, Postponed) as error:
            return error
        try:
            claim = self._claim(order, name)
        except BaseException:
            gate.leave()
            raise
        if isinstance(claim, Delivery):
            gate.leave()
            return claim
        with claim:
            if order.is_cancelled():
                gate.leave()
                claim.release({"cancelled": True})
                return order.told("cancelled")
            return self._call(claim, order, provider, gate)

    def _claim(self, order: Order, name: str) -> Claim | Delivery:
        """Take the delivery, which is made at once, or tell what has become of it.

        The suppression list is read in the same transaction.
        """
        calling = {
            "provider": name,
            "delivery_id": order.id,
            "template": order.template,
            "called_ms": clock.now_ms(),
        }
        claim = self.ledger.claim(
            order.key,
            lease_s=LEASE_S,
            calling=calling,
            unless=partial(self._suppressed, order),
        )
        if isinstance(claim, Claim):
            return claim
        if isinstance(claim, Suppression):
            SENT.inc(channel=order.channel.value, provider="none", outcome="suppressed")
            return order.told("suppressed", reason=claim.reason.value)
        if claim.state is State.UNKNOWN:
            found = self._look(claim, order)
            if found is None:
                return self._claim(order, name)  # it was given back
            return found
        name = str(claim.evidence.get("provider"))
        SENT.inc(channel=order.channel.value, provider=name, outcome="deduplicated")
        return order.told(
            "accepted",
            provider=claim.evidence.get("provider"),
            provider_id=claim.evidence.get("provider_id"),
        )

    def _suppressed(self, order: Order, connection: Connection) -> Suppression | None:
        return self.suppressions.read(
            connection,
            order.channel,
            order.address,
            category=order.category,
            required=order.required,
        )

    def _call(
        self, claim: Claim, order: Order, provider: Provider[Any], gate: Gate
    ) -> Delivery | NexusError:
        content = _dated(order.content, claim.entry)
        try:
            receipt = provider.deliver(content, delivery_id=order.id)
        except BaseException as error:
            self._note(claim, error)
            gate.failed(error)
            if isinstance(error, UnknownOutcomeError):
                raise self._doubted(order, provider, error) from error
            if isinstance(error, NexusError):
                return self._refused(order, provider.name, error)
            raise
        claim.settle("accepted", _evidence(receipt))
        gate.succeeded(receipt.allowance)
        SENT.inc(
            channel=order.channel.value, provider=provider.name, outcome="accepted"
        )
        log.info(
            "notifications.accepted",
            channel=order.channel.value,
            provider=provider.name,
            template=order.template,
            delivery_id=order.id,
        )
        return order.told(
            "accepted", provider=provider.name, provider_id=receipt.provider_id
        )

    @staticmethod
    def _note(claim: Claim, error: BaseException) -> None:
        """Note why a call was not accepted; leaving the claim notes any other end."""
        if isinstance(error, UnknownOutcomeError):
            claim.doubt({"error": error.code})
        elif isinstance(error, NexusError):
            # nothing was delivered, and it may be claimed again
            claim.release({"error": error.code})

    def _refused(self, order: Order, name: str, error: NexusError) -> NexusError:
        """Return *error* if another provider may do better, else raise it."""
        if isinstance(error, CLEAN):
            return error
        if not isinstance(error, TargetGoneError):
            raise NotDeliveredError(error.message, code=error.code) from error
        if order.channel in DIE:
            self.suppressions.add(
                order.channel, order.address, Reason.GONE, source=name
            )
        raise error

    def _next(self, order: Order, failures: Sequence[NexusError]) -> NexusError:
        """Return what is to follow where no provider has taken it."""
        waits = [each for each in failures if isinstance(each, Postponed)]
        passing = [each for each in failures if isinstance(each, TransientError)]
        if order.channel is Channel.WEBHOOK and (waits or passing):
            return self._schedule(order, [each.until for each in waits])
        if waits:
            return min(waits, key=lambda each: each.until)
        return passing[0] if passing else failures[0]

    def _schedule(self, order: Order, asked: Sequence[datetime]) -> NexusError:
        """Return when a webhook is tried next; that costs no attempt of the queue."""
        entry = self.ledger.get(order.key)
        number = entry.attempt if entry else 1
        if number > len(SCHEDULE_S):
            return NotDeliveredError(
                f"the receiver has not taken the webhook in {number} attempts",
                code="given_up",
            )
        wait = SCHEDULE_S[number - 1] * (1 + SPREAD * self.chance())
        until = max([clock.now() + timedelta(seconds=wait), *asked])
        return Postponed("the receiver did not take it", code="again", until=until)

    # unknown outcomes

    def _doubted(
        self, order: Order, provider: Provider[Any], error: UnknownOutcomeError
    ) -> NexusError:
        """Return what follows a call whose answer was lost."""
        if provider.knows_repeats and order.again is not False:
            self._reopen(order, "harmless")
            if order.channel is Channel.WEBHOOK:
                return self._schedule(order, [])
            return TransientError(f"{error.message}; a repeat is harmless")
        if provider.can_find or order.again:
            until = clock.now() + self._patience(provider)
            return Postponed(
                "whether it was sent is looked up", code="doubt", until=until
            )
        return error

    def _look(self, entry: Entry, order: Order) -> Delivery | None:
        """Find out what came of an unknown call; ``None``: it may be made again."""
        provider = self.provider(entry.evidence["provider"])
        if provider.knows_repeats and order.again is not False:
            self._reopen(order, "harmless")
            return None
        settled_at = entry.updated_at + self._patience(provider)
        waits = provider.can_find or order.again
        if waits and settled_at > clock.now():
            text = "whether it was sent is looked up"
            raise Postponed(text, code="doubt", until=settled_at)
        since = clock.from_ms(entry.evidence["called_ms"])
        try:
            receipt = provider.find(order.content, delivery_id=order.id, since=since)
        except (UnknownOutcomeError, AuthorizationError) as error:
            if order.again:
                self._reopen(order, "policy")
                return None
            raise UnknownOutcomeError(
                "whether the notification was sent is not known, and it is not sent "
                f"again: {error.message}"
            ) from error
        if receipt is None:
            self._reopen(order, "look-up")
            return None
        self.ledger.resolve(
            order.key, "accepted", by="look-up", evidence=_evidence(receipt)
        )
        return order.told(
            "accepted", provider=provider.name, provider_id=receipt.provider_id
        )

    def _patience(self, provider: Provider[Any]) -> timedelta:
        """Return how long to wait before it is decided what a lost answer was."""
        settings = self.settings
        return timedelta(
            seconds=settings.doubt_s if provider.can_find else settings.await_events_s
        )

    def _reopen(self, order: Order, by: str) -> None:
        self.ledger.reopen(order.key, by=by, evidence={})


def _dated(content: Content, entry: Entry) -> Content:
    """Return *content* as of its first attempt: a webhook's repeats are the same."""
    if isinstance(content, WebhookMessage):
        return replace(content, at=entry.created_at)
    return content


def _evidence(receipt: Receipt) -> Mapping[str, Any]:
    return {"provider_id": receipt.provider_id, **receipt.details}
