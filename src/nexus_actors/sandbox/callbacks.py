"""What vendors tell a host's own server: that a mail was opened, an SMS delivered.

Nothing is told of its own accord: a callback goes out when it is asked for, so that a
test decides when.  What has happened by then is computed from the sandbox's clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests

from .base import Callback, Vendor


#: How many callbacks are told of afterwards.
KEPT: Final = 100

#: How long a host's server may take to accept the connection and to answer, in seconds.
TIMEOUT_S: Final = (5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Sent:
    """A callback that went out.

    Attributes:
        events: The ids of what it told.
        status: What the host's server answered; None if it did not.
    """

    vendor: str
    at: str
    url: str
    events: tuple[str, ...]
    status: int | None


class Callbacks:
    """Sends what is due, and knows what was sent."""

    def __init__(self, vendors: Mapping[str, Vendor[Any]]) -> None:
        self._vendors = vendors
        self._told: dict[str, set[str]] = {name: set() for name in vendors}
        self._one_at_a_time = asyncio.Lock()
        self.sent: list[Sent] = []

    def due(self) -> int:
        """Return how many events are to be told, and have not been."""
        return sum(
            event.id not in self._told[name]
            for name, vendor in self._vendors.items()
            for event in vendor.events()
        )

    async def send(self, *, again: bool = False) -> list[Sent]:
        """Send what is due; return the callbacks that went out.

        Args:
            again: Whether all that was ever due is sent, the latest first: as vendors
                do, who promise neither the order nor that nothing comes twice.
        """
        async with self._one_at_a_time:
            before = len(self.sent)
            for name, vendor in self._vendors.items():
                events = [
                    event
                    for event in vendor.events()
                    if again or event.id not in self._told[name]
                ]
                for callback in vendor.callbacks(events[::-1] if again else events):
                    await self._send(vendor, callback)
            sent, self.sent = self.sent[before:], self.sent[-KEPT:]
            return sent

    async def _send(self, vendor: Vendor[Any], callback: Callback) -> None:
        status = await asyncio.to_thread(_post, callback)
        accepted = status is not None and status // 100 == 2  # noqa: PLR2004 - 2xx
        if accepted or not vendor.repeats_callbacks:
            self._told[vendor.name].update(callback.events)
        at = vendor.clock.iso()
        self.sent.append(Sent(vendor.name, at, callback.url, callback.events, status))


def _post(callback: Callback) -> int | None:
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.post(
                callback.url,
                data=callback.body,
                headers=callback.headers,
                timeout=TIMEOUT_S,
                allow_redirects=False,
                stream=True,  # what else it answers is not read
            ).status_code
        except requests.RequestException:
            return None
