"""The sockets under every HTTP call: pooled, bounded in time, stopped when asked.

`requests` bounds the wait for the next byte and nothing else, so that a server which
sends one byte a minute holds a thread for ever.  Here an `Exchange` bounds the whole,
and knows whether the server can have seen the request: what nobody can tell from the
error that a library raises.
"""

from __future__ import annotations

import http.client
import io
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context


T = TypeVar("T")

#: How much is sent or received at once.
BLOCK_BYTES: Final = 1 << 16

#: What a transfer must move per second beyond its `Limits.total_s`.
SLOWEST_BYTES_S: Final = 1 << 16

#: How soon a blocked exchange sees that its job must stop, in seconds.
LOOK_S: Final = 1.0

#: A connection unused for longer is not used again: most servers close it at 60 s,
#: and a request that crosses with the close has an unknown outcome.
IDLE_S: Final = 45.0

#: The variables that say which way requests go, and whom they trust.
SPEAKERS: Final = (
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)

#: For how many servers it is remembered what these say.
MOST_MERGED: Final = 100

_thread = threading.local()
_shared: dict[str, Session] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one exchange may take.

    Attributes:
        connect_s: To reach one address.
        read_s: Without a byte sent or received.
        total_s: For the whole, plus what its bytes take at 64 KiB/s.
        answer_bytes: Of a decoded answer; the rest of a longer one is not read.
    """

    connect_s: float = 10
    read_s: float = 60
    total_s: float = 120
    answer_bytes: int = 8 * 1024**2


class Exchange:
    """One request and its answer, as the sockets of the thread see them.

    Attributes:
        sent: Whether the server may have seen any of the request.
        check: Raises if the job must stop.
    """

    def __init__(self, limits: Limits, check: Callable[[], None] | None = None) -> None:
        self.limits = limits
        self.sent = False
        self.check = check or (lambda: None)
        self._ends = time.monotonic() + limits.total_s
        self._outer: Exchange | None = None

    def __enter__(self) -> Self:
        self._outer = getattr(_thread, "exchange", None)
        _thread.exchange = self
        return self

    def __exit__(self, *_: object) -> None:
        _thread.exchange = self._outer

    def left(self, until: float) -> float:
        """Return the seconds until *until*, or until all must be over."""
        left = min(until, self._ends) - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def pause(self, until: float) -> float:
        """Return how long may be waited before the next call of this."""
        self.check()
        return min(LOOK_S, self.left(until))

    def move(self, sock: socket.socket, operation: Callable[[], int]) -> int:
        """Run the *operation* that moves bytes, in waits short enough to be stopped."""
        until = time.monotonic() + self.limits.read_s
        while True:
            sock.settimeout(self.pause(until))
            try:
                moved = operation()
            except TimeoutError:
                continue
            self._ends += moved / SLOWEST_BYTES_S
            return moved


def _running() -> Exchange:
    """Return the thread's exchange; outside of any, one with the usual limits."""
    return getattr(_thread, "exchange", None) or Exchange(Limits())


def in_time(operation: Callable[[], T]) -> T:
    """Run what has no time limit of its own as a part of the thread's exchange.

    Its thread is left behind if it does not end in time: nothing can stop it.

    Raises:
        TimeoutError: It has taken as long as a connection may.
    """
    exchange, future = _running(), Future[T]()
    until = time.monotonic() + exchange.limits.connect_s

    def run() -> None:
        try:
            future.set_result(operation())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    while not wait([future], exchange.pause(until)).done:
        pass
    return future.result()


def look_up(host: str, port: int) -> list[str]:
    """Return the addresses that the system's resolver knows for *host*."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label that is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from None
    return list(dict.fromkeys(str(item[4][0]) for item in found))


class Route:
    """Where a session may go: anywhere, as its operator wants.  `Guard` is stricter."""

    #: Whether the environment's proxies and certificates count.
    uses_environment = True

    #: Whether errors keep to themselves why a server could not be reached.
    discreet = False

    def url(self, url: str) -> str:
        """Return *url* as it will be used, or refuse it."""
        return url

    def addresses(self, scheme: str, host: str, port: int) -> Sequence[str]:  # noqa: ARG002 - for stricter ones
        """Return the addresses to connect to, or refuse; nothing is looked up again."""
        return in_time(partial(look_up, host, port))


class _Reader(io.RawIOBase):
    """Reads a socket within the limits of the exchange that it was made in."""

    def __init__(self, sock: socket.socket, file: io.BufferedIOBase) -> None:
        self._sock, self._file, self._exchange = sock, file, _running()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._exchange.move(self._sock, partial(self._sock.recv_into, buffer))

    def close(self) -> None:
        self._file.close()  # gives back its hold on the socket
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Reader(sock, self.fp), BLOCK_BYTES)


class _Connection(HTTPConnection):
    """Goes where its *route* says, and notes when the request goes out."""

    scheme = "http"
    response_class = _Response

    def __init__(self, *args: Any, route: Route, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._route = route
        self._used = time.monotonic()

    def _new_conn(self) -> socket.socket:
        try:
            return self._reach(
                self._route.addresses(self.scheme, self._dns_host, self.port)
            )
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error

    def _reach(self, addresses: Sequence[str]) -> socket.socket:
        exchange = _running()
        failure = OSError("no address")
        for address in addresses:
            exchange.check()
            until = time.monotonic() + exchange.limits.connect_s
            try:
                sock = socket.create_connection(
                    (address, self.port), exchange.left(until)
                )
            except OSError as error:
                failure = error
                continue
            for option in self.socket_options or ():
                sock.setsockopt(*option)
            return sock
        raise failure

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.is_closed:
            self.connect()
        _running().sent = True
        self._used = time.monotonic()
        super().request(*args, **kwargs)

    def send(self, data: Any) -> None:
        exchange, view = _running(), memoryview(data)
        while view:
            view = view[exchange.move(self.sock, partial(self.sock.send, view)) :]

    @property
    def is_connected(self) -> bool:
        return super().is_connected and time.monotonic() - self._used < IDLE_S


@cache
def _trusting(ca_certs: str) -> ssl.SSLContext:
    """Return the TLS settings with the authorities of a file; reading takes 20 ms."""
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.load_verify_locations(ca_certs)
    return context


class _SecureConnection(_Connection, HTTPSConnection):
    scheme = "https"

    def connect(self) -> None:
        if self.ca_certs and self.cert_reqs == "CERT_REQUIRED":
            self.ssl_context, self.ca_certs = _trusting(self.ca_certs), None
        super().connect()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    def __init__(self, route: Route) -> None:
        self._pools: dict[str, Any] = {
            "http": partial(_Pool, route=route),
            "https": partial(_SecurePool, route=route),
        }
        super().__init__(pool_connections=32, pool_maxsize=64)  # hosts, threads

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, blocksize=BLOCK_BYTES)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager


class Session(requests.Session):
    """A session that keeps no cookies, follows nothing and takes no login from files.

    Threads may share it, and processes: each has its own connections.  It must not be
    changed once it is in use.
    """

    def __init__(
        self, route: Route | None = None, *, ca_file: Path | None = None
    ) -> None:
        super().__init__()
        self.route = route or Route()
        self._merged: dict[Any, Any] = {}
        self.trust_env = self.route.uses_environment
        self.verify = str(ca_file) if ca_file else True
        self.auth = lambda request: request  # else the URL's could overrule the token
        self.headers["User-Agent"] = f"nexus-actors/{version('nexus-actors')}"
        self._mount()
        for name in ("urllib3.connectionpool", "urllib3.util.retry"):
            logging.getLogger(name).addFilter(_silence)

    def _mount(self) -> None:
        self._pid = os.getpid()
        self.mount("https://", _Adapter(self.route))
        self.mount("http://", _Adapter(self.route))

    def get_adapter(self, url: str) -> BaseAdapter:
        """Leave the connections of a process that forked to that process."""
        if self._pid != os.getpid():
            self._mount()
        return super().get_adapter(url)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Let the route judge the URL first; look for no cookie and no login to add."""
        prepared = requests.PreparedRequest()
        prepared.prepare(
            method=request.method,
            url=self.route.url(str(request.url)),
            headers={**self.headers, **request.headers},
            files=request.files,
            data=request.data,
            params=request.params,
            auth=self.auth,
            json=request.json,
        )
        return prepared

    def send(
        self, request: requests.PreparedRequest, **settings: Any
    ) -> requests.Response:
        """Return the answer itself: nothing is followed, and no cookie kept."""
        settings.pop("allow_redirects", None)
        answer = self.get_adapter(str(request.url)).send(request, **settings)
        if not settings.get("stream"):
            _ = answer.content  # read, so that its connection is free again
        return answer

    def merge_environment_settings(self, url: Any, *given: Any) -> Any:
        """Return what the environment adds; it is not searched anew for each call."""
        if not self.trust_env or any(given[0] or ()):
            return super().merge_environment_settings(url, *given)
        parts = urlsplit(url)
        heard = tuple(os.environ.get(name) for name in SPEAKERS)
        key = (parts.scheme, parts.netloc, given[1:], heard)
        found = self._merged.get(key)
        if found is None:
            if len(self._merged) >= MOST_MERGED:
                self._merged.clear()
            found = super().merge_environment_settings(url, *given)
            self._merged[key] = found
        return {**found, "proxies": dict(found["proxies"])}


def _silence(_: logging.LogRecord) -> bool:
    """Drop what urllib3 logs of our exchanges: whole URLs, which may hold tokens."""
    return getattr(_thread, "exchange", None) is None


def shared_session() -> Session:
    """Return the session of the whole process, made on first use."""
    # of several threads that make one at once, all take the first: without a lock,
    # which a fork could leave closed
    return _shared.get("session") or _shared.setdefault("session", Session())
