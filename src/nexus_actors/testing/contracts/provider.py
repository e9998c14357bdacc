"""The promises of a notification `Provider`."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    AuthorizationError,
    NexusError,
    Postponed,
    RemoteUnavailableError,
    TransientError,
    UnknownOutcomeError,
)
from nexus_actors.notifications.base import Provider, Receipt


#: An id as the sender makes them.
DELIVERY_ID = "dlv_0123456789abcdef0123456789abcdef"

#: What a call may take whose vendor answers at once.
AT_ONCE_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Says:
    """What a vendor answers; None in place of a status closes the connection."""

    status: int | None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def raw(self) -> bytes:
        """Return the body's bytes."""
        if isinstance(self.body, str):
            return self.body.encode()
        return b"" if self.body is None else json.dumps(self.body).encode()


@dataclass(slots=True)
class VendorServer:
    """A vendor that answers what it is told, and what it was asked.

    Attributes:
        answer: To every request but those whose path is in *prelude*.
        prelude: By path, the answers to what comes before a delivery, such as a token.
        requests: Head and body of those that were not of the prelude.
        connections: How many there were, of both.
    """

    answer: Says
    prelude: dict[str, Says]
    requests: list[str] = field(default_factory=list)
    connections: int = 0
    url: str = ""


class ProviderContract:
    """Inherit, name the adapter and some content, and every promise is tested.

    Attributes:
        adapter: The class that is tested.
        content: What it can deliver.
    """

    adapter: ClassVar[type[Provider[Any]]]
    content: ClassVar[Any]

    @pytest.fixture
    def provider(self) -> Provider[Any]:
        """One that can deliver."""
        raise NotImplementedError("define the fixture `provider`")

    def test_its_channels_are_some(self) -> None:
        assert self.adapter.channels

    def test_what_it_takes_has_a_receipt(self, provider: Provider[Any]) -> None:
        receipt = provider.deliver(self.content, delivery_id=DELIVERY_ID)

        assert isinstance(receipt, Receipt)
        assert receipt.provider_id
        json.dumps(receipt.details)

    def test_what_it_may_have_done_it_finds_or_says_that_it_cannot_tell(
        self, provider: Provider[Any]
    ) -> None:
        if self.adapter.can_find:
            return
        with pytest.raises(UnknownOutcomeError):
            provider.find(self.content, delivery_id=DELIVERY_ID, since=clock.now())


class HttpProviderContract(ProviderContract):
    """Of providers that make one HTTP request for a delivery.

    Attributes:
        accepts: The vendor's answer to what it takes.
        prelude: By path, answers to requests that come before.
        private: What stands in no error: the recipient, the credentials.
        unauthorized: What 401 means.
        carries_the_id: Whether the vendor is told the delivery's id.
    """

    accepts: ClassVar[Says]
    prelude: ClassVar[dict[str, Says]] = {}
    private: ClassVar[tuple[str, ...]]
    unauthorized: ClassVar[type[NexusError]] = AuthorizationError
    carries_the_id: ClassVar[bool] = True

    def connect(self, url: str) -> Provider[Any]:
        """Return a provider whose vendor is at *url*."""
        raise NotImplementedError("define `connect`, which returns a provider")

    @pytest.fixture
    def vendor(self) -> Iterator[VendorServer]:
        """A vendor that takes everything."""
        with running(VendorServer(self.accepts, self.prelude)) as server:
            yield server

    @pytest.fixture
    def provider(self, vendor: VendorServer) -> Provider[Any]:
        """One whose vendor takes everything."""
        return self.connect(vendor.url)

    def _failure(self, provider: Provider[Any]) -> NexusError:
        started = time.monotonic()
        with pytest.raises(NexusError) as caught:
            provider.deliver(self.content, delivery_id=DELIVERY_ID)
        assert time.monotonic() - started < AT_ONCE_S
        told = f"{caught.value} {caught.value.__cause__} {provider!r}"
        assert not [word for word in self.private if word in told]
        return caught.value

    def test_a_delivery_is_one_request_on_one_kept_connection(
        self, provider: Provider[Any], vendor: VendorServer
    ) -> None:
        for _ in range(3):
            provider.deliver(self.content, delivery_id=DELIVERY_ID)

        assert (len(vendor.requests), vendor.connections) == (3, 1)
        if self.carries_the_id:
            assert all(DELIVERY_ID in request for request in vendor.requests)

    def test_a_limit_postpones_and_nobody_waits(
        self, provider: Provider[Any], vendor: VendorServer
    ) -> None:
        vendor.answer = Says(status=429, headers={"Retry-After": "60"})

        error = self._failure(provider)

        assert isinstance(error, Postponed)
        assert error.until - clock.now() > timedelta(seconds=50)
        assert len(vendor.requests) == 1

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    def test_a_vendor_that_fails_is_no_reason_to_give_up(
        self, provider: Provider[Any], vendor: VendorServer, status: int
    ) -> None:
        vendor.answer = Says(status=status, body="<html>oh</html>")

        error = self._failure(provider)

        assert isinstance(error, TransientError | UnknownOutcomeError)
        assert len(vendor.requests) == 1

    def test_wrong_credentials_are_said_to_be_wrong(
        self, provider: Provider[Any], vendor: VendorServer
    ) -> None:
        vendor.answer = Says(status=401, body={"message": self.private})

        assert isinstance(self._failure(provider), self.unauthorized)

    def test_an_answer_that_is_lost_leaves_the_outcome_unknown(
        self, provider: Provider[Any], vendor: VendorServer
    ) -> None:
        vendor.answer = Says(status=None)

        assert isinstance(self._failure(provider), UnknownOutcomeError)
        assert len(vendor.requests) == 1

    def test_a_redirect_is_not_followed(
        self, provider: Provider[Any], vendor: VendorServer
    ) -> None:
        vendor.answer = Says(status=302, headers={"Location": f"{vendor.url}/else"})

        self._failure(provider)

        assert len(vendor.requests) == 1

    def test_a_vendor_that_is_not_there_has_got_nothing(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        error = self._failure(self.connect(f"http://127.0.0.1:{port}"))

        assert isinstance(error, RemoteUnavailableError)


@contextmanager
def running(vendor: VendorServer) -> Iterator[VendorServer]:
    """Serve *vendor* on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(vendor))
    vendor.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield vendor
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(vendor: VendorServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body leave as one
        disable_nagle_algorithm = True

        def setup(self) -> None:
            vendor.connections += 1
            super().setup()

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            says = vendor.prelude.get(self.path)
            if says is None:
                head = f"{self.requestline}\n{self.headers}"
                vendor.requests.append(head + body.decode(errors="replace"))
                says = vendor.answer
            if says.status is None:
                self.close_connection = True
                return
            self.send_response(says.status)
            for name, value in says.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(says.raw())))
            self.end_headers()
            self.wfile.write(says.raw())

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
