"""Sends one notification: to whom, by which channels, and whether it is wanted now.

Each delivery is made by the courier; the first channel that reaches the person ends it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from nexus_actors.core import clock
from nexus_actors.core.errors import NexusError, Postponed
from nexus_actors.core.ledger import Claim, Entry, Ledger, State

from .compose import Composer
from .content import Channel
from .delivering import LEASE_S, SCOPE, SENT, Courier, Order
from .errors import NotDeliveredError, TargetGoneError
from .lists import Preferences
from .models import Delivery, Recipient, SendNotificationRequest, SendNotificationResult
from .quiet import quiet_until
from .settings import NotificationSettings
from .templates import Meta


#: Whose entries in the ledger are notifications that are cancelled.
CANCELLED: Final = "notification-cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Sends notifications; threads share one.

    Attributes:
        resolve: The host's function of a user's id; ``None`` if it has none.
        chance: From 0 to 1; spreads waits.
    """

    settings: NotificationSettings
    courier: Courier
    cancelled: Ledger
    preferences: Preferences
    composer: Composer
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
        target = getattr(person, channel.value)
        why = self._unwanted(request, meta, channel)
        if target is None:
            why = "no_address"
        if why:
            return Delivery(channel=channel.value, status="skipped", reason=why)
        order = self._order(request, person, channel, key)
        if not meta.urgent:
            self._refuse_quiet(person)
        return self.courier.deliver(order)

    def _unwanted(
        self, request: SendNotificationRequest, meta: Meta, channel: Channel
    ) -> str | None:
        if request.user_id is None or meta.required:
            return None
        category = request.category or meta.category
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
            category=request.category or meta.category,
            required=meta.required,
            again=again,
            is_cancelled=lambda: (
                request.idempotency_key is not None and self.is_cancelled(key)
            ),
        )

    def _setting(self, channel: Channel) -> Any:
        return self.settings.unknown.get(channel.value)

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
        with self.cancelled.database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [Entry.from_row(row) for row in rows]
