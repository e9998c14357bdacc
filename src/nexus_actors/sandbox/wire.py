"""One request on its connection, and all that can be done to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Final, Self

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .base import Clock
from .faults import Fault


#: The ASGI extension under which our server hands on the connection.
TRANSPORT: Final = "nexus.transport"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, not yet sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @classmethod
    def scripted(cls, fault: Fault) -> Self:
        """Return the answer that an ``answer`` fault gives; text stays as it is."""
        kind = Response if isinstance(fault.body, str) else JSONResponse
        response = kind(fault.body, fault.status, fault.headers)
        return cls(response.status_code, response.raw_headers, bytes(response.body))

    def corrupted(self) -> Self:
        """Return its first half, as if it were whole."""
        body = self.body[: len(self.body) // 2]
        others = [h for h in self.headers if h[0] != b"content-length"]
        length = (b"content-length", str(len(body)).encode())
        return replace(self, headers=[*others, length], body=body)


class Wire:
    """Reads the request, and answers it or fails to."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, *, clock: Clock
    ) -> None:
        self._receive, self._send = receive, send
        self._clock = clock
        self._transport: asyncio.Transport = scope["extensions"][TRANSPORT]
        self._length = int(Headers(scope=scope).get("content-length", "-1"))

    async def read(self, *, half: bool) -> tuple[bytes, bool]:
        """Read the body, or only the first half; return it and whether it is whole."""
        limit = self._length // 2 if half and self._length >= 0 else None
        body, more = bytearray(), True
        while more and (limit is None or len(body) < limit):
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return bytes(body), False
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if half:
            end = len(body) // 2 if limit is None else limit
            return bytes(body[:end]), False
        return bytes(body), True

    async def answer(self, answer: Answer) -> None:
        """Send all of it."""
        await self._start(answer)
        await self._send({"type": "http.response.body", "body": answer.body})

    async def disturb(self, fault: Fault, answer: Answer | None) -> Answer | None:
        """Do what *fault* does to a connection; return what is left to be sent."""
        match fault.action, answer:
            case "answer", _:
                return Answer.scripted(fault)
            case "drop", _:
                self._transport.abort()
                await self._gone()
            case "hang", _:
                await self._gone()
            case "corrupt", Answer():
                return answer.corrupted()
            case "cut", Answer():
                await self._cut(answer)
            case "drip", Answer():
                await self._drip(answer, fault.seconds)
        return None

    async def _cut(self, answer: Answer) -> None:
        await self._start(answer)
        await self._part(answer.body[: len(answer.body) // 2])
        self._transport.close()
        await self._gone()

    async def _drip(self, answer: Answer, seconds: float) -> None:
        await self._start(answer)
        for at in range(len(answer.body)):
            if self._transport.is_closing():
                return
            await self._part(answer.body[at : at + 1])
            await asyncio.sleep(seconds / len(answer.body))
        await self._send({"type": "http.response.body"})

    async def _gone(self) -> None:
        """Wait until the client has closed the connection, or we have."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _start(self, answer: Answer) -> None:
        headers = answer.headers
        if not any(name.lower() == b"date" for name, _ in headers):
            headers = [(b"date", self._clock.date().encode()), *headers]
        start = {"type": "http.response.start", "status": answer.status}
        await self._send(start | {"headers": headers})

    async def _part(self, body: bytes) -> None:
        part = {"type": "http.response.body", "body": body, "more_body": True}
        await self._send(part)


async def ask(app: ASGIApp, scope: Scope, body: bytes, *, whole: bool) -> Answer | None:
    """Let *app* have the request; return its answer, or None if it had no use for half.

    An answer to half of a request is None as well: nobody is there to read it.
    """
    arriving: list[Message] = [
        {"type": "http.request", "body": body, "more_body": not whole}
    ]
    status, headers, answered = 500, [], bytearray()

    async def receive() -> Message:
        return arriving.pop() if arriving else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message["headers"])
        else:
            answered.extend(message.get("body", b""))

    try:
        await app(scope, receive, send)
    except ClientDisconnect:
        if whole:
            raise
    return Answer(status, headers, bytes(answered)) if whole else None
