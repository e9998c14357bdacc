"""Batches of mails that are paused or cancelled before they leave."""

from __future__ import annotations

import secrets
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nexus_actors.sandbox.base import Clock

from .api import Endpoint, parsed, problem, refusal


#: How many batches may be paused or cancelled at a time.
MAX_HELD: Final = 10

PATH: Final = "/v3/user/scheduled_sends"


class ScheduledSends:
    """Knows the batch ids, and which of them are held."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[str, str] = {}
        self._released: dict[str, float] = {}
        self.batches: set[str] = set()

    def endpoints(self) -> list[Endpoint]:
        """Return where it is asked."""
        return [
            ("POST", "/v3/mail/batch", self.make_batch),
            ("GET", "/v3/mail/batch/{batch}", self.get_batch),
            ("POST", PATH, self.hold),
            ("GET", PATH, self.list_held),
            ("GET", PATH + "/{batch}", self.get_held),
            ("PATCH", PATH + "/{batch}", self.change),
            ("DELETE", PATH + "/{batch}", self.release),
        ]

    def held(self, batch: str) -> str | None:
        """Return whether a batch is at ``pause`` or ``cancel``."""
        return self._held.get(batch)

    def released_at(self, batch: str) -> float:
        """Return when it was let go; 0 if it never was held."""
        return self._released.get(batch, 0)

    def make_batch(self, _: Request, __: bytes) -> Response:
        """Make a batch id."""
        id_ = secrets.token_hex(18)
        self.batches.add(id_)
        return JSONResponse({"batch_id": id_}, 201)

    def get_batch(self, request: Request, _: bytes) -> Response:
        """Tell whether there is such a batch id."""
        id_ = request.path_params["batch"]
        if id_ not in self.batches:
            raise refusal(400, problem("invalid batch id"))
        return JSONResponse({"batch_id": id_})

    def hold(self, request: Request, body: bytes) -> Response:
        """Pause or cancel the mails of a batch."""
        given = _object(request, body)
        id_, status = given.get("batch_id"), _status(given)
        if not isinstance(id_, str) or id_ not in self.batches:
            raise refusal(400, problem("invalid batch id", "batch_id"))
        if id_ in self._held:
            text = "a status for this batch id exists, try PATCH to update the status"
            raise refusal(400, problem(text, "batch_id"))
        if len(self._held) >= MAX_HELD:
            text = "you have reached the maximum number of pauses and cancellations"
            raise refusal(400, problem(text))
        self._held[id_] = status
        return JSONResponse(self._told(id_), 201)

    def list_held(self, _: Request, __: bytes) -> Response:
        """Tell all batches that are held."""
        return JSONResponse([self._told(id_) for id_ in self._held])

    def get_held(self, request: Request, _: bytes) -> Response:
        """Tell whether a batch is held: as a list of one, or none."""
        id_ = request.path_params["batch"]
        return JSONResponse([self._told(id_)] if id_ in self._held else [])

    def change(self, request: Request, body: bytes) -> Response:
        """Turn a pause into a cancellation, or back."""
        status = _status(_object(request, body))
        self._held[self._known(request)] = status
        return Response(status_code=204)

    def release(self, request: Request, _: bytes) -> Response:
        """Let the mails of a batch go."""
        id_ = self._known(request)
        del self._held[id_]
        self._released[id_] = self._clock.now()
        return Response(status_code=204)

    def _known(self, request: Request) -> str:
        id_: str = request.path_params["batch"]
        if id_ not in self._held:
            raise refusal(404, problem("batch id not found"))
        return id_

    def _told(self, id_: str) -> dict[str, str]:
        return {"batch_id": id_, "status": self._held[id_]}


def _object(request: Request, body: bytes) -> dict[str, Any]:
    given = parsed(request, body)
    return given if isinstance(given, dict) else {}


def _status(given: dict[str, Any]) -> str:
    status = given.get("status")
    if status not in ("pause", "cancel"):  # of any type
        text = "status must be either cancel or pause"
        raise refusal(400, problem(text, "status"))
    return str(status)
