"""The log of the requests that vendors got."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import Scope

from .faults import Fault
from .wire import Answer


#: How many requests are kept, and how much of a body.
KEPT: Final = 10_000
KEPT_BYTES: Final = 65_536


@dataclass(slots=True)
class Exchange:
    """A request, and what became of it.

    Attributes:
        number: Counted from 1 since the start or the last reset.
        body: What has arrived, as text; None if it is no text.
        size: How many bytes have arrived.
        fault: The action and moment of the fault that disturbed it.
        status: Of the answer that was sent; None if none was, or not yet.
        answer: Its body, as text.
        took_ms: None as long as it is being answered.
    """

    number: int
    at: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str | None = None
    size: int = 0
    fault: str | None = None
    status: int | None = None
    answer: str | None = None
    took_ms: int | None = None
    began: float = field(default_factory=time.monotonic, repr=False)

    def received(self, body: bytes) -> None:
        """Keep what has arrived."""
        self.body, self.size = _text(body), len(body)

    def answered(self, answer: Answer) -> None:
        """Keep what was sent."""
        self.status, self.answer = answer.status, _text(answer.body)

    def to_json(self) -> dict[str, Any]:
        """Return what is told of it."""
        return {k: v for k, v in asdict(self).items() if k != "began"}


class RequestLog:
    """The latest requests, in memory, and all of them in a file if there is one."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._entries: deque[Exchange] = deque(maxlen=KEPT)
        self._count = 0

    def begin(self, scope: Scope, at: str, fault: Fault | None) -> Exchange:
        """Enter a request that has just begun."""
        self._count += 1
        exchange = Exchange(
            number=self._count,
            at=at,
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            headers=dict(Headers(scope=scope)),
            fault=f"{fault.action} {fault.moment}" if fault else None,
        )
        self._entries.append(exchange)
        return exchange

    def end(self, exchange: Exchange) -> None:
        """Note that nothing more will happen to it."""
        exchange.took_ms = round((time.monotonic() - exchange.began) * 1000)
        if self._file:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(exchange.to_json(), ensure_ascii=False) + "\n")

    def since(self, number: int) -> list[dict[str, Any]]:
        """Return the requests after *number*."""
        return [e.to_json() for e in self._entries if e.number > number]

    def clear(self) -> None:
        """Forget all, and count from 1 again."""
        self._entries.clear()
        self._count = 0


def _text(body: bytes) -> str | None:
    try:
        return body[:KEPT_BYTES].decode()
    except UnicodeDecodeError:
        return None
