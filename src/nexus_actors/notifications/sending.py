"""Sends one notification: checked, rendered, claimed, called, settled.

The queue delivers a message at least once; the ledger makes one call of it.  A call
whose answer was lost is looked up where the vendor lets us, and else follows the
policy: sent again where a repeat is harmless or the person waits for it, or left
alone and told to be unknown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

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
from .compose import Composer
from .content import Channel, Content, WebhookMessage
from .errors import NotDeliveredError, TargetGoneError
from .gate import Gate
from .lists import Preferences, Reason, Suppressions
from .models import Delivery, Recipient, SendNotificationRequest, SendNotificationResult
from .quiet import quiet_until
from .settings import NotificationSettings
from .templates import Meta


log = get_logger(__name__)

SENT: Final = counter(
    "nexus_notifications_total",
    "Deliveries by what became of them; no provider took those of `none`",
    channel=tuple(channel.value for channel in Channel),
    provider=("none", *providers.known),
    outcome=("accepted", "deduplicated", "failed", "suppressed"),
)

#: Whose entries in the ledger are ours; and that of notifications that are cancelled.
SCOPE: Final = "notification"
CANCELLED: Final = "notification-cancelled"

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
        again: Whether it is sent again if nobody knows what came of it.
        is_cancelled: Tells whether its sender has taken it back.
    """

    channel: Channel
    key: str
    id: str
    address: str
    content: Content
    template: str | None
    again: bool | None
    is_cancelled: Callable[[], bool]

    def told(self, status: models.Status, **more: Any) -> Delivery:
        """Return what became of it."""
        return Delivery(
            channel=self.channel.value, status=status, delivery_id=self.id, **more
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Sends notifications; threads share one.

    Attributes:
        provider: Makes or returns the provider of a name.
        resolve: The host's function of a user's id; ``None`` if it has none.
        chance: From 0 to 1; spreads waits.
    """

    settings: NotificationSettings
    ledger: Ledger
    cancelled: Ledger
    suppressions: Suppressions
    preferences: Preferences
    composer: Composer
    provider: Callable[[str], Provider[Any]]
    resolve: Callable[[str], Recipient | None]
    chance: Callable[[], float]

    def send(
        self, request: SendNotificationRequest, *, job_id: str
    ) -> SendNotificationResult:
        """Send *request*, by the first channel that reaches the person.

        Raises:
            Postponed: Not now: it is early, or quiet, or a vendor asks to wait.
            TransientError: Trying again may help.
            UnknownOutcomeError: It may have been sent, and is not sent again.
            PermanentError: It cannot be sent.
        """
        if request.send_at and request.send_at > clock.now():
            raise Postponed("it is to be sent later", until=request.send_at)
        key = request.idempotency_key or job_id
        person = self._person(request)
        tried: list[Delivery] = []
        failure: NexusError | None = None
        for kind in dict.fromkeys((request.type, *request.fallback)):
            try:
                tried.append(self._try(request, person, Channel(kind), key))
            except (TargetGoneError, NotDeliveredError) as error:
                failure = error
                reason = error.code
                SENT.inc(channel=kind, provider="none", outcome="failed")
                tried.append(Delivery(channel=kind, status="failed", reason=reason))
            if tried[-1].status not in {"failed", "suppressed", "skipped"}:
                break
        result = SendNotificationResult(
            status=tried[-1].status, deliveries=tuple(tried)
        )
        if failure and result.status == "failed":
            raise failure
        return result

    def _person(self, request: SendNotificationRequest) -> Recipient:
        """Return who is meant; what the message says wins over what the host knows."""
        if request.user_id is None:
            return request
        known = self.resolve(request.user_id)
        if known is None:
            return request
        fields = {name: getattr(known, name) for name in known.model_fields_set}
        given = {
            name: getattr(request, name)
            for name in request.model_fields_set & Recipient.model_fields.keys()
            if getattr(request, name) is not None
        }
        words = {**known.template_data, **request.template_data}
        return Recipient.model_construct(**fields | given | {"template_data": words})

    def _try(
        self,
        request: SendNotificationRequest,
        person: Recipient,
        channel: Channel,
        key: str,
    ) -> Delivery:
        meta = self.composer.meta(request)
        category = request.category or meta.category
        target = getattr(person, channel.value)
        why = self._unwanted(request, meta, channel, category)
        if target is None:
            why = "no_address"
        if why:
            return Delivery(channel=channel.value, status="skipped", reason=why)
        order = self._order(request, person, channel, key)
        found = self.suppressions.find(
            channel, order.address, category=category, required=meta.required
        )
        if found:
            SENT.inc(channel=channel.value, provider="none", outcome="suppressed")
            return order.told("suppressed", reason=found.reason.value)
        if not meta.urgent:
            self._refuse_quiet(person)
        return self.deliver(order)

    def _unwanted(
        self,
        request: SendNotificationRequest,
        meta: Meta,
        channel: Channel,
        category: str,
    ) -> str | None:
        if request.user_id is None or meta.required:
            return None
        wanted = self.preferences.wants(
            request.user_id, category=category, channel=channel
        )
        return None if wanted else "preference"

    def _refuse_quiet(self, person: Recipient) -> None:
        if person.quiet_hours is None:
            return
        zone = person.zone or self.settings.default_zone
        until = quiet_until(clock.now(), zone, person.quiet_hours)
        if until:
            wait = timedelta(minutes=15) * self.chance()  # not all at eight sharp
            raise Postponed("these are quiet hours", code="quiet", until=until + wait)

    def _order(
        self,
        request: SendNotificationRequest,
        person: Recipient,
        channel: Channel,
        key: str,
    ) -> Order:
        content, address = self.composer.compose(request, person, channel)
        what = json.dumps([request.template, channel.value, address])
        digest = hashlib.sha256(f"{key}\n{what}".encode()).hexdigest()[:32]
        again = {"again": True, "never": False, None: None}[
            request.when_unknown or self._setting(channel)
        ]
        meta = self.composer.meta(request)
        if again is None and request.template and meta.transactional:
            again = channel is Channel.EMAIL or None
        return Order(
            channel=channel,
            key=f"{key}#{digest}",
            id=f"dlv_{digest}",
            address=address,
            content=content,
            template=request.template,
            again=again,
            is_cancelled=lambda: (
                request.idempotency_key is not None and self.is_cancelled(key)
            ),
        )

    def _setting(self, channel: Channel) -> Any:
        return self.settings.unknown.get(channel.value)

    # one delivery

    def deliver(self, order: Order) -> Delivery:
        """Make the call once, or tell what has become of it; as `send` raises."""
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
        """Take the delivery, which is made at once, or tell what has become of it."""
        calling = {
            "provider": name,
            "delivery_id": order.id,
            "template": order.template,
            "called_ms": clock.now_ms(),
        }
        claim = self.ledger.claim(order.key, lease_s=LEASE_S, calling=calling)
        if isinstance(claim, Claim):
            return claim
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

    # cancelling

    def is_cancelled(self, key: str) -> bool:
        """Tell whether the notifications of *key* were taken back."""
        return self.cancelled.get(key) is not None

    def cancel(self, key: str) -> bool:
        """Send nothing more of *key*; tell whether nothing of it was sent before."""
        claim = self.cancelled.claim(key, lease_s=LEASE_S)
        if isinstance(claim, Claim):
            with claim:
                claim.settle("cancelled")
        return not any(
            entry.state is not State.RELEASED for entry in self._entries(key)
        )

    def _entries(self, key: str) -> list[Entry]:
        from nexus_actors.core.tables import ledger as table

        query = table.select().where(
            table.c.scope == SCOPE, table.c.key.startswith(f"{key}#", autoescape=True)
        )
        with self.ledger.database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [Entry.from_row(row) for row in rows]


def _dated(content: Content, entry: Entry) -> Content:
    """Return *content* as of its first attempt: a webhook's repeats are the same."""
    if isinstance(content, WebhookMessage):
        return replace(content, at=entry.created_at)
    return content


def _evidence(receipt: Receipt) -> Mapping[str, Any]:
    return {"provider_id": receipt.provider_id, **receipt.details}
