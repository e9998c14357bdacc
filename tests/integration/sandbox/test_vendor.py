"""What a vendor gets from its base class, shown on a small one that takes uploads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import requests
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nexus_actors.sandbox import Sandbox, running
from nexus_actors.sandbox.base import Clock, Refusal, Settings, Vendor
from nexus_actors.testing.sandbox import SandboxClient


class UploadSettings(Settings):
    size: int = 100


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
