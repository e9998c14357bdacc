"""What a vendor gets from its base class, shown on a small one that takes uploads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import requests
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from nexus_actors.sandbox import Sandbox, running
from nexus_actors.sandbox.base import (
    Callback,
    Clock,
    Event,
    Refusal,
    Settings,
    Vendor,
)
from nexus_actors.testing.sandbox import SandboxClient
from web import reply, web


class UploadSettings(Settings):
    size: int = 100
    url: str = ""


class Uploads(Vendor[UploadSettings]):
    """Keeps what arrives, and is done when all is there."""

    name = "uploads"
    defaults = UploadSettings()

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._kept = bytearray()

    def routes(self) -> Sequence[BaseRoute]:
        return [
            Route("/file", self.put, methods=["PUT"]),
            Route("/file", self.delete, methods=["DELETE"]),
        ]

    async def delete(self, request: Request) -> Response:
        self.took_effect("deletion", "f1", request)
        return Response(status_code=204)

    async def put(self, request: Request) -> Response:
        if "authorization" not in request.headers:
            raise Refusal(401, {"error": "who are you"}, {"WWW-Authenticate": "Bearer"})
        try:
            async for chunk in request.stream():
                self._kept += chunk
        except ClientDisconnect:
            return JSONResponse({})
        if len(self._kept) == self.settings.size:
            self.took_effect("file", "f1", request, size=len(self._kept))
        return JSONResponse({"kept": len(self._kept)})

    def controls(self) -> Sequence[BaseRoute]:
        return [Route("/kept", lambda _: JSONResponse(len(self._kept)))]

    def refuse_path(self, _: Request, status: int) -> Response:
        return PlainTextResponse(f"uploads: {status}", status)

    def events(self) -> Sequence[Event]:
        """A file is told a minute after it is there."""
        url, now = self.settings.url, self.clock.now()
        return [
            Event(f"{effect.id} {number}", url, now, {"size": effect.details["size"]})
            for number, effect in enumerate(self.effects)
            if self.clock.offset_s >= 60
        ]

    def callbacks(self, events: Sequence[Event]) -> Sequence[Callback]:
        return [Callback(e.url, {"X-Of": e.id}, b"{}", (e.id,)) for e in events]


@pytest.fixture
def sandbox() -> Iterator[SandboxClient]:
    with running(Sandbox(vendors=[Uploads])) as url:
        client = SandboxClient(url)
        yield client
        client.close()


def put(sandbox: SandboxClient, body: bytes) -> requests.Response:
    headers = {"Authorization": "Bearer x"}
    url = f"{sandbox.url}/uploads/file"
    return requests.put(url, data=body, headers=headers, timeout=10)


def test_an_upload_keeps_the_half_that_arrived_and_goes_on_from_there(
    sandbox: SandboxClient,
) -> None:
    sandbox.faults({"action": "drop", "moment": "during"})

    with pytest.raises(requests.ConnectionError):
        put(sandbox, b"x" * 100)
    rest = put(sandbox, b"x" * 50)

    assert rest.json() == {"kept": 100}
    assert [e["request"] for e in sandbox.truth()["uploads"]] == [2]


def test_half_of_a_request_without_a_body_has_no_effect(
    sandbox: SandboxClient,
) -> None:
    sandbox.faults({"action": "drop", "moment": "during"})
    url = f"{sandbox.url}/uploads/file"

    with pytest.raises(requests.ConnectionError):
        requests.delete(url, timeout=10)
    nothing = sandbox.truth()
    requests.delete(url, timeout=10)

    assert nothing == {"uploads": []}
    assert [e["kind"] for e in sandbox.truth()["uploads"]] == ["deletion"]


def test_a_refusal_is_the_answer(sandbox: SandboxClient) -> None:
    answer = requests.put(f"{sandbox.url}/uploads/file", timeout=10)

    assert answer.status_code == 401
    assert answer.json() == {"error": "who are you"}
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_reset_makes_a_new_vendor(sandbox: SandboxClient) -> None:
    put(sandbox, b"x" * 60)

    sandbox.reset()

    assert put(sandbox, b"x" * 60).json() == {"kept": 60}


def test_a_path_without_a_route_is_refused_in_the_vendors_way(
    sandbox: SandboxClient,
) -> None:
    nowhere = requests.get(f"{sandbox.url}/uploads/nowhere", timeout=10)
    wrong_method = requests.post(f"{sandbox.url}/uploads/file", timeout=10)
    nobody = requests.get(f"{sandbox.url}/downloads", timeout=10)

    assert (nowhere.status_code, nowhere.text) == (404, "uploads: 404")
    assert (wrong_method.status_code, wrong_method.text) == (405, "uploads: 405")
    assert (nobody.status_code, nobody.text) == (404, "Not Found")


def test_a_vendor_has_controls_which_are_no_requests_to_it(
    sandbox: SandboxClient,
) -> None:
    put(sandbox, b"x" * 60)
    before = requests.get(f"{sandbox.url}/_sandbox/uploads/kept", timeout=10)
    sandbox.reset()

    after = requests.get(f"{sandbox.url}/_sandbox/uploads/kept", timeout=10)

    assert (before.json(), after.json()) == (60, 0)
    assert sandbox.requests() == []


def test_the_host_is_told_once_it_is_due_and_once_only_whatever_it_answers(
    sandbox: SandboxClient,
) -> None:
    with web() as host:
        host.replies = [reply(302, Location=host.url("/elsewhere")), reply(200)]
        sandbox.settings(uploads={"url": host.url("/told")})
        put(sandbox, b"x" * 100)
        early = sandbox.send_callbacks()
        sandbox.set_clock(60)

        due = callbacks(sandbox)["due"]
        (sent,) = sandbox.send_callbacks()
        done = sandbox.send_callbacks()
        again = sandbox.send_callbacks(again=True)

    assert (early, due, done) == ([], 1, [])
    assert (sent["status"], sent["events"]) == (302, ["f1 0"])
    assert [callback["status"] for callback in again] == [200]
    assert [request.path for request in host.requests] == ["/told", "/told"]
    assert host.requests[0].headers["x-of"] == "f1 0"
    state = callbacks(sandbox)
    assert (state["due"], len(state["sent"])) == (0, 2)


def callbacks(sandbox: SandboxClient) -> Any:
    return requests.get(f"{sandbox.url}/_sandbox/callbacks", timeout=10).json()
