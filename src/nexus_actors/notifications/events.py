"""What vendors tell of deliveries later: one form for all, believed only if signed.

A host's own web server takes the request and hands on what it got, unparsed::

    events = receive_events("sendgrid", headers=request.headers, body=request.body)

Dead addresses then stand on the suppression list, and a delivery of which nobody knew
is settled.  Vendors repeat events and change their order: an event's *id* is the same
each time, and taking it twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from nexus_actors.core.errors import RejectedError
from nexus_actors.core.ledger import Entry, Ledger, State
from nexus_actors.core.logs import get_logger
from nexus_actors.core.models import Model

from .base import providers
from .content import Channel
from .lists import Reason, Suppressions


if TYPE_CHECKING:
    from nexus_actors.core.database import Database

log = get_logger(__name__)

#: What can happen to a delivery that a provider has taken.
Kind = Literal[
    "sent",
    "delivered",
    "deferred",
    "bounced",
    "blocked",
    "dropped",
    "failed",
    "opened",
    "clicked",
    "complained",
    "unsubscribed",
    "other",
]

#: How far a delivery is: what comes later and ranks lower is old news.
RANKS: Final[dict[str, int]] = {
    **dict.fromkeys(("other",), 0),
    **dict.fromkeys(("sent", "deferred"), 1),
    **dict.fromkeys(("delivered", "bounced", "blocked", "dropped", "failed"), 2),
    **dict.fromkeys(("opened", "clicked", "complained", "unsubscribed"), 3),
}


class DeliveryEvent(Model):
    """One thing that happened to a delivery.

    Attributes:
        id: The vendor's, or made of what it told: the same in each repetition.
        kind: What happened, in our words.
        word: What happened, in the vendor's.
        delivery_id: As in the result of the actor; ``None`` if the vendor lost it.
        address: Where it went.
        code: Why, where it failed.
        suppress: Why the address is not to be used any more, if it is not.
    """

    id: str
    provider: str
    channel: Channel
    kind: Kind
    word: str
    at: datetime
    delivery_id: str | None = None
    provider_id: str | None = None
    address: str | None = None
    code: str | None = None
    suppress: Reason | None = None

    @property
    def rank(self) -> int:
        """How far the delivery is: of several events, the highest is the state."""
        return RANKS[self.kind]


def receive_events(
    provider: str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    url: str | None = None,
) -> list[DeliveryEvent]:
    """Return what a vendor's request tells, once it is seen to be the vendor's.

    Args:
        provider: Whose, such as ``sendgrid`` or ``twilio``.
        headers: Of the request.
        body: Its raw bytes.
        url: For Twilio, the address as Twilio called it, with its query: behind a
            proxy that is not what your server sees.

    Raises:
        SignatureError: It is not signed by the vendor, or is too old: answer 403.
        UnsupportedFeatureError: The provider tells no events.
        ConfigurationError: What it is verified with is not set.
    """
    from .connect import database

    found = providers.get(provider).read_events(headers, body, url=url)
    take(found, database())
    return found


def take(events: Sequence[DeliveryEvent], database: Database) -> None:
    """Note what follows: addresses that are dead, outcomes that are known now."""
    from .delivering import SCOPE

    suppressions, ledger = Suppressions(database), Ledger(database, SCOPE)
    for event in events:
        if event.suppress and event.address:
            suppressions.add(
                event.channel, event.address, event.suppress, source=event.provider
            )
        if event.delivery_id:
            _settle(ledger, event)
        log.info(
            "notifications.event",
            provider=event.provider,
            kind=event.kind,
            delivery_id=event.delivery_id,
        )


def _settle(ledger: Ledger, event: DeliveryEvent) -> None:
    """Settle the delivery if its outcome was unknown: the vendor had it after all."""
    entry = _unknown(ledger, str(event.delivery_id))
    if entry is None:
        return
    evidence = {"provider_id": event.provider_id, "event": event.word}
    try:
        ledger.resolve(entry.key, "accepted", by="event", evidence=evidence)
    except RejectedError:
        log.info("notifications.known_already", delivery_id=event.delivery_id)


def _unknown(ledger: Ledger, delivery_id: str) -> Entry | None:
    from nexus_actors.core.tables import ledger as table

    end = delivery_id.removeprefix("dlv_")
    query = table.select().where(
        table.c.scope == ledger.scope,
        table.c.state.in_([State.UNKNOWN, State.CALLING]),
        table.c.key.endswith(f"#{end}", autoescape=True),
    )
    with ledger.database.read() as connection:
        row = connection.execute(query).mappings().first()
    return Entry.from_row(row) if row else None
