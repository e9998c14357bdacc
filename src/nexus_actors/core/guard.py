"""The one way to reach a URL that a user supplied.

Such a URL must lead to the public internet, not into the network that the worker
stands in.  What counts is the address: a name can mean any address, and another one
when it is asked for the next time.  So a name is looked up once for each connection,
every address that it has is checked, and the connection goes to one of those.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urljoin

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from .errors import (
    ForbiddenUrlError,
    NexusError,
    PermanentError,
    Postponed,
    RejectedError,
    RemoteUnavailableError,
    ResourceError,
)
from .http import Answer, ApiClient, Call, OnProgress
from .settings import Settings, own
from .transport import Limits, Route, Session, in_time, look_up
from .urls import NAME, NUMBER, WebUrl


Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Sequence[str]]

#: How often a download is sent on before it is given up.
REDIRECTS: Final = 5

#: Where another URL stands in ``Location``.
REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})

#: What a download may take: hours, if its bytes keep coming.
DOWNLOAD: Final = Limits(connect_s=5, read_s=30, total_s=300, answer_bytes=1 << 16)

#: Names that mean something only inside of a network.
LOCAL_NAMES: Final = re.compile(
    r"[^.]+|(?:.+\.)?(?:localhost|localdomain|local|internal|home\.arpa)"
)

#: IPv4 addresses that are not public.  Python's ``is_global`` misses several, and
#: which ones differs between its releases.
PRIVATE_V4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers; a cloud's metadata at 100.100.100.200
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's host service on an address that looks public
        "169.254.0.0/16",  # link-local, with the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays from IPv6
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)

#: All of IPv6 that is given out for the internet ...
PUBLIC_V6: Final = IPv6Network("2000::/3")

#: ... but for these parts of it.
PRIVATE_V6: Final = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, with Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)

#: Addresses of IPv4 hosts in networks that speak IPv6 alone.
NAT64: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))


@dataclass(frozen=True, slots=True)
class Place:
    """A host name or a network, on one port or on all."""

    where: str | Network
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read such as ``127.0.0.1:80``, ``10.0.0.0/8``, ``[::1]:80``, ``a.local``."""
        host, port = text, None
        if found := re.fullmatch(r"\[([^\]]+)\](?::(\d+))?|([^:]+):(\d+)", text):
            host = found[1] or found[3]
            port = int(found[2] or found[4] or 0) or None
        try:
            return cls(ip_network(host), port)
        except ValueError:
            if not NAME.fullmatch(host) or NUMBER.fullmatch(host):
                raise ValueError(f"{text!r} is no host or network") from None
            return cls(host, port)

    def covers(self, where: str | Address, port: int) -> bool:
        """Return whether *where* is in this place."""
        if self.port not in {None, port}:
            return False
        if isinstance(self.where, str) or isinstance(where, str):
            return self.where == where
        return where in self.where


def _words(value: object) -> object:
    return value.replace(",", " ").split() if isinstance(value, str) else value


def _places(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(Place.parse(word) for word in value.replace(",", " ").lower().split())


class GuardSettings(Settings):
    """Where URLs that users supply may lead."""

    guard_allow: Annotated[
        tuple[Place, ...],
        own(
            "GUARD_ALLOW",
            "hosts and networks, with or without a port, that may be reached although "
            "they are not public, or by http:// or on another port",
        ),
        NoDecode,
        BeforeValidator(_places),
    ] = ()
    guard_deny: Annotated[
        tuple[Place, ...],
        own("GUARD_DENY", "public hosts and networks that may not be reached"),
        NoDecode,
        BeforeValidator(_places),
    ] = ()
    guard_ports: Annotated[
        frozenset[Annotated[int, Field(ge=1, le=65535)]],
        own("GUARD_PORTS", "ports that may be reached"),
        NoDecode,
        BeforeValidator(_words),
    ] = frozenset({443, 8443})
    guard_http: Annotated[
        bool, own("GUARD_HTTP", "let http:// URLs be used, and port 80")
    ] = False


class Guard(Route):
    """The route to what users name.  Its `session` and `download` use no other.

    *resolve* is asked once for each connection; *limits* are those of a download.
    """

    uses_environment = False  # a proxy would look the name up again
    discreet = True

    def __init__(
        self,
        settings: GuardSettings,
        *,
        resolve: Resolver = look_up,
        ca_file: Path | None = None,
        limits: Limits = DOWNLOAD,
    ) -> None:
        self._settings = settings
        self._resolve = resolve
        self._limits = limits
        #: What an `ApiClient` is given, to make calls to where users say.
        self.session = Session(self, ca_file=ca_file)

    def check(self, url: str) -> None:
        """Refuse *url* now, as far as can be told before it is used.

        Raises:
            ForbiddenUrlError: It is malformed, or leads to what is not public.
            RemoteUnavailableError: Its name is not known.
        """
        parts = WebUrl.parse(url)
        try:
            self.addresses(parts.scheme, parts.host, parts.port)
        except OSError as error:
            raise RemoteUnavailableError(
                f"the name {parts.host} is not known"
            ) from error

    def url(self, url: str) -> str:
        """Return *url* in the one form that all parsers read alike."""
        return str(WebUrl.parse(url))

    def addresses(self, scheme: str, host: str, port: int) -> Sequence[str]:
        """Look *host* up, once, and return its addresses if all may be reached."""
        host = host.lower().rstrip(".")
        answer = in_time(functools.partial(self._resolve, host, port))
        found = [ip_address(text) for text in answer]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        if not self._allows(host, port):
            if not all(self._opens(address, port) for address in found):
                self._check_form(scheme, host, port)
            for address in found:
                self._check_address(host, address, port)
        return [str(address) for address in found]

    def download(
        self,
        url: str,
        target: Path,
        *,
        max_bytes: int,
        check: Callable[[], None] | None = None,
        on_progress: OnProgress | None = None,
    ) -> int:
        """Bring what *url* leads to into *target*, whole or not at all.

        *check* raises if the job must stop: it is called at least each second, but for
        the 5 s that a connection may take; *on_progress* before the first byte is
        written, and with each block.

        Returns:
            How many bytes it has.

        Raises:
            ForbiddenUrlError: It, or where it is redirected to, may not be reached.
            RejectedError: It is not there, or not for us (``not_found``), or has more
                than *max_bytes* (``too_large``).
            RemoteUnavailableError: The server does not answer, or not to the end.
            ResourceError: The disk is full.
        """
        client = _Client(name="download", session=self.session, limits=self._limits)
        partial = target.with_name(f"{target.name}.part")
        try:
            with partial.open("wb") as file:
                pour = functools.partial(
                    client.fetch,
                    file=file,
                    max_bytes=max_bytes,
                    check=check,
                    on_progress=on_progress,
                )
                _follow(url, pour)
                file.flush()
                os.fsync(file.fileno())  # whoever finds it later must find all of it
            partial.replace(target)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise ResourceError(
                    f"the disk that holds {target.parent} is full", code="disk_full"
                ) from error
            raise
        finally:
            partial.unlink(missing_ok=True)
        return target.stat().st_size

    def _allows(self, where: str | Address, port: int) -> bool:
        return any(place.covers(where, port) for place in self._settings.guard_allow)

    def _opens(self, address: Address, port: int) -> bool:
        return all(self._allows(part, port) for part in _meant(address))

    def _denies(self, where: str | Address, port: int) -> bool:
        return any(place.covers(where, port) for place in self._settings.guard_deny)

    def _check_form(self, scheme: str, host: str, port: int) -> None:
        http = self._settings.guard_http
        if scheme != "https" and not http:
            raise ForbiddenUrlError("the URL is not https://; give an https:// URL")
        if port not in self._settings.guard_ports and not (http and port == 80):  # noqa: PLR2004 - http's own
            raise ForbiddenUrlError(f"port {port} may not be used; leave the port out")
        if ":" not in host and LOCAL_NAMES.fullmatch(host):
            raise _not_public(host)

    def _check_address(self, host: str, address: Address, port: int) -> None:
        if self._opens(address, port):
            return
        meant = _meant(address)
        if self._denies(host, port) or any(self._denies(p, port) for p in meant):
            raise _not_public(host)
        if not all(self._allows(p, port) or is_public(p) for p in meant):
            raise _not_public(host)


class _Client(ApiClient):
    """Reads an answer for one who is not known to the server, and is in no hurry."""

    def judge(self, answer: Answer) -> NexusError | None:
        error = super().judge(answer)
        if isinstance(error, Postponed):  # waits that cost nothing could go on for ever
            return RemoteUnavailableError(error.message)
        if isinstance(error, PermanentError):
            return _unreadable(error.message)
        return error


def _follow(url: str, fetch: Callable[[Call], Answer]) -> None:
    """Fetch *url*, or what it is redirected to."""
    headers = {"Accept-Encoding": "identity"}
    for _ in range(REDIRECTS + 1):
        answer = fetch(Call("GET", url, headers=headers, accept=REDIRECT_STATUSES))
        if answer.status not in REDIRECT_STATUSES:
            return
        url = urljoin(url, answer.headers.get("Location", "")).partition("#")[0]
    raise _unreadable("download: redirected too often")


def _unreadable(why: str) -> RejectedError:
    return RejectedError(
        f"{why}; give a URL that this worker can read", code="not_found"
    )


def is_public(address: Address) -> bool:
    """Return whether *address* is one of the public internet."""
    if isinstance(address, IPv4Address):
        private = any(address in network for network in PRIVATE_V4)
    else:
        private = address not in PUBLIC_V6 or any(
            address in network for network in PRIVATE_V6
        )
    return address.is_global and not private


def _meant(address: Address) -> list[Address]:
    """Return *address*, and the IPv4 address that it carries, if it carries one."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    carried: list[Address] = [address]
    if any(address in network for network in NAT64):
        carried.append(IPv4Address(int(address) & 0xFFFFFFFF))
    if address.sixtofour:
        carried.append(address.sixtofour)
    if address.teredo:
        carried.extend(address.teredo)
    return carried


def _not_public(host: str) -> ForbiddenUrlError:
    return ForbiddenUrlError(
        f"{host} is not on the public internet; give a URL that everyone can reach"
    )
