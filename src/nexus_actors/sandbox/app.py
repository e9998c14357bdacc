"""The sandbox as one ASGI application: the vendors, and the paths that control them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
)
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from .base import Clock, Refusal, Settings, Vendor, iso
from .callbacks import Callbacks
from .faults import FAULTS, Fault, FaultScript, Scripted, explain
from .growth import DAY_S
from .requests import RequestLog
from .vendors import VENDORS
from .wire import Answer, Wire, ask


class Sandbox:
    """All vendors, the faults, the request log and the clock.

    Every request but those to ``/`` and ``/_sandbox`` is one to a vendor: it is
    numbered, logged and exposed to the faults.

    Args:
        faults: The script to start with.
        vendors: Those that it plays; a host may add its own.
        log_file: Every request is appended to it, as a line of JSON.
    """

    def __init__(
        self,
        faults: Iterable[Fault] = (),
        *,
        vendors: Sequence[type[Vendor[Any]]] = VENDORS,
        log_file: Path | None = None,
    ) -> None:
        self._kinds = vendors
        self.closing = asyncio.Event()
        self.clock = Clock()
        self.log = RequestLog(log_file)
        self._resets = 0
        self.vendors: dict[str, Vendor[Any]] = {}
        self.reset(faults)

    def reset(self, faults: Iterable[Fault] = ()) -> None:
        """Forget all that has happened, and start over with *faults*."""
        self._resets += 1
        self.clock.offset_s = 0
        self.log.clear()
        self.script = FaultScript(faults)
        for vendor in self.vendors.values():
            vendor.media.clear()
        self.vendors = {kind.name: kind(self.clock) for kind in self._kinds}
        self.callbacks = Callbacks(self.vendors)
        self._control = self._control_app()
        self._vendors = Starlette(
            routes=[
                Mount(f"/{name}", routes=vendor.routes())
                for name, vendor in self.vendors.items()
            ],
            exception_handlers={Refusal: _refuse, HTTPException: self._refuse_path},
        )

    def truth(self) -> dict[str, list[dict[str, Any]]]:
        """Return what took effect, by vendor, in the order in which it did."""
        return {
            name: [asdict(effect) for effect in vendor.effects]
            for name, vendor in self.vendors.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"] == "/" or f"{scope['path']}/".startswith("/_sandbox/"):
            await self._control(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        wire = Wire(scope, receive, send, clock=self.clock)
        vendors = self._vendors
        scripted = self.script.meet(scope["method"], scope["path"])
        fault = scripted.fault if scripted else None
        exchange = self.log.begin(scope, self.clock.iso(), fault)
        scope["nexus.number"] = exchange.number
        half = fault is not None and fault.moment == "during"
        try:
            body, whole = await wire.read(half=half)
            exchange.received(body)
            answer: Answer | None = None
            if scripted and scripted.fault.moment == "before":
                answer = await self._disturb(scripted, exchange.number, wire, None)
            if not (fault and fault.replaces_the_vendor) and (body or whole):
                answer = await ask(vendors, scope, body, whole=whole)
            if scripted and scripted.fault.moment != "before":
                answer = await self._disturb(scripted, exchange.number, wire, answer)
            if answer:
                exchange.answered(answer)
                await wire.answer(answer)
        finally:
            self.log.end(exchange)

    async def _disturb(
        self, scripted: Scripted, number: int, wire: Wire, answer: Answer | None
    ) -> Answer | None:
        """Do what the fault says; return what is left to be sent."""
        scripted.fired.append(number)
        fault = scripted.fault
        if fault.action == "advance":
            self.clock.offset_s += fault.seconds
            return answer
        if fault.action == "wait":
            with suppress(TimeoutError):
                await asyncio.wait_for(self.closing.wait(), fault.seconds)
            return answer
        return await wire.disturb(fault, answer)

    async def _refuse_path(self, request: Request, error: Any) -> Response:
        name = request.scope["path"].split("/")[1]
        if name in self.vendors:
            return self.vendors[name].refuse_path(request, error.status_code)
        return PlainTextResponse(error.detail, error.status_code)

    # what a test, a person or the page reads and sets

    def _control_app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/_sandbox/requests", self._get_requests),
                Route("/_sandbox/truth", self._get_truth),
                Route("/_sandbox/posts", self._get_posts),
                Route("/_sandbox/media/{vendor}/{id}", self._get_media),
                Route("/_sandbox/faults", self._get_faults, methods=["GET"]),
                Route("/_sandbox/faults", self._put_faults, methods=["PUT"]),
                Route("/_sandbox/settings", self._get_settings, methods=["GET"]),
                Route("/_sandbox/settings", self._put_settings, methods=["PUT"]),
                Route("/_sandbox/clock", self._get_clock, methods=["GET"]),
                Route("/_sandbox/clock", self._put_clock, methods=["PUT"]),
                Route("/_sandbox/callbacks", self._get_callbacks, methods=["GET"]),
                Route("/_sandbox/callbacks", self._post_callbacks, methods=["POST"]),
                Route("/_sandbox/growth", self._get_growth, methods=["GET"]),
                Route("/_sandbox/growth", self._post_growth, methods=["POST"]),
                Route("/_sandbox/reset", self._post_reset, methods=["POST"]),
                *(
                    Mount(f"/_sandbox/{name}", routes=vendor.controls())
                    for name, vendor in self.vendors.items()
                ),
            ],
            exception_handlers={ValueError: _bad_request, Refusal: _refuse},
        )

    async def _page(self, _: Request) -> Response:
        page = files("nexus_actors.sandbox") / "page.html"
        headers = {"Cache-Control": "no-store", "Content-Security-Policy": POLICY}
        return HTMLResponse(page.read_text("utf-8"), headers=headers)

    async def _get_requests(self, request: Request) -> Response:
        since = int(request.query_params.get("since", "0"))
        # the page starts over when the numbers do
        resets = {"Sandbox-Resets": str(self._resets)}
        return JSONResponse(self.log.since(since), headers=resets)

    async def _get_truth(self, _: Request) -> Response:
        return JSONResponse(self.truth())

    async def _get_posts(self, _: Request) -> Response:
        vendors = self.vendors.items()
        return JSONResponse(
            {name: posts for name, v in vendors if (posts := [*map(asdict, v.posts())])}
        )

    async def _get_media(self, request: Request) -> Response:
        vendor = self.vendors.get(request.path_params["vendor"])
        file = vendor.media.get(request.path_params["id"]) if vendor else None
        if not file:
            return Response(status_code=404)
        return FileResponse(
            file.path,
            media_type=file.kind or "application/octet-stream",
            headers={"X-Content-Type-Options": "nosniff"},
        )

    async def _get_faults(self, _: Request) -> Response:
        return JSONResponse(
            [
                entry.fault.model_dump(exclude_defaults=True)
                | {
                    "moment": entry.fault.moment,
                    "seen": entry.seen,
                    "fired": entry.fired,
                }
                for entry in self.script.entries
            ]
        )

    async def _put_faults(self, request: Request) -> Response:
        self.script = FaultScript(FAULTS.validate_json(await request.body()))
        return await self._get_faults(request)

    async def _get_settings(self, _: Request) -> Response:
        vendors = self.vendors.items()
        return JSONResponse({name: v.settings.model_dump() for name, v in vendors})

    async def _put_settings(self, request: Request) -> Response:
        wanted = CHANGES.validate_json(await request.body())
        for name, changes in wanted.items():
            if name not in self.vendors:
                known = ", ".join(self.vendors)
                raise ValueError(f"no vendor {name!r}; known: {known}")
            self.vendors[name].configure(changes)
        return await self._get_settings(request)

    async def _get_clock(self, _: Request) -> Response:
        clock = self.clock
        return JSONResponse({"now": clock.iso(), "offset_s": clock.offset_s})

    async def _put_clock(self, request: Request) -> Response:
        self.clock.offset_s = ClockChange.model_validate_json(
            await request.body()
        ).offset_s
        return await self._get_clock(request)

    async def _get_callbacks(self, _: Request) -> Response:
        sent = [asdict(callback) for callback in self.callbacks.sent]
        return JSONResponse({"due": self.callbacks.due(), "sent": sent})

    async def _post_callbacks(self, request: Request) -> Response:
        wanted = CallbackOrder.model_validate_json(await request.body() or b"{}")
        sent = await self.callbacks.send(again=wanted.again)
        return JSONResponse([asdict(callback) for callback in sent])

    async def _get_growth(self, _: Request) -> Response:
        now = self.clock.now()
        growing = {n: v for n, v in self.vendors.items() if v.world is not None}
        return JSONResponse({name: _truth(v, now) for name, v in growing.items()})

    async def _post_growth(self, request: Request) -> Response:
        order = GrowthOrder.model_validate_json(await request.body())
        if order.vendor not in self.vendors:
            raise ValueError(f"no vendor {order.vendor!r}")
        now, span_s = self.clock.now(), order.days * DAY_S
        times = [now - span_s * (1 - n / order.posts) for n in range(order.posts)]
        return JSONResponse(self.vendors[order.vendor].plant(times))

    async def _post_reset(self, _: Request) -> Response:
        self.reset()
        return Response(status_code=204)


#: What the page may load, and the mails that it shows: nothing from any other host.
POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src 'self' data:; media-src 'self'; connect-src 'self'; form-action 'none'; "
    "base-uri 'none'"
)

#: What ``PUT /_sandbox/settings`` takes: by vendor, the fields that change.
CHANGES: Final = TypeAdapter(dict[str, dict[str, Any]])


def _truth(vendor: Vendor[Any], now: float) -> dict[str, Any]:
    """Return what was put into a vendor's figures on purpose."""
    world, posts = vendor.world, vendor.made()
    if world is None or not posts:
        return {"unusual": [], "falls": []}
    since = min(post.at for post in posts)
    falls = [(post, world.fall_of(post)) for post in posts]
    return {
        "unusual": [
            day
            for account in sorted({post.account for post in posts})
            for day in world.planted(account, since, now)
        ],
        "falls": [
            {"post": post.name, "at": iso(fall[0]), "share": fall[1]}
            for post, fall in falls
            if fall and fall[0] <= now
        ],
    }


class GrowthOrder(Settings):
    """Wants posts without media, evenly over the last days."""

    vendor: str
    posts: Annotated[int, Field(ge=1, le=100_000)]
    days: Annotated[float, Field(gt=0)] = 90


class ClockChange(Settings):
    """What ``PUT /_sandbox/clock`` takes."""

    offset_s: float


class CallbackOrder(Settings):
    """What ``POST /_sandbox/callbacks`` takes."""

    again: bool = False


async def _refuse(_: Request, refusal: Any) -> Response:
    response: Response = refusal.response
    return response


async def _bad_request(_: Request, error: Exception) -> Response:
    text = explain(error) if isinstance(error, ValidationError) else str(error)
    return JSONResponse({"error": text}, 400)
