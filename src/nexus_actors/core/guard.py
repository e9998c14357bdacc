"""The one way to reach a URL that a user supplied.

Such a URL must lead to the public internet, not into the network that the worker
stands in.  What counts is the address: a name can mean any address, and another one
when it is asked for the next time.  So a name is looked up once for each connection,
every address that it has is checked, and the connection goes to one of those.
"""

from __future__ import annotations

import errno
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
from typing import Annotated, BinaryIO, Final
from urllib.parse import urljoin

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from .errors import (
    ForbiddenUrlError,
    RejectedError,
    RemoteUnavailableError,
    ResourceError,
)
from .http import ApiClient, Call
from .settings import Settings, own
from .transport import Limits, Route, Session, look_up


Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Sequence[str]]

#: The longest URL that is looked at.
LONGEST_URL: Final = 2048

#: How often a download is sent on before it is given up.
REDIRECTS: Final = 5

#: Where another URL stands in ``Location``.
REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})

#: What a server on the internet may take.
OUTSIDE: Final = Limits(connect_s=5, read_s=15, total_s=30, answer_bytes=1 << 16)

#: Scheme, authority, and the rest; no fragment.
URL: Final = re.compile(r"(https?)://([^/?#]+)((?:[/?][^#]*)?)", re.IGNORECASE)

#: Host, IPv6 in brackets or not, and port.
AUTHORITY: Final = re.compile(
    r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:@%]+))(?::([0-9]{1,5}))?"
)

#: A host name in its ASCII form.
NAME: Final = re.compile(r"(?=.{1,253}$)(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")

#: How the last label of what resolvers read as an IPv4 address looks, such as 0x7f.1.
NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")

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

    *resolve* is asked once for each connection.
    """

    uses_environment = False  # a proxy would look the name up again
    discreet = True

    def __init__(
        self,
        settings: GuardSettings,
        *,
        resolve: Resolver = look_up,
        ca_file: Path | None = None,
    ) -> None:
        self._settings = settings
        self._resolve = resolve
        #: What an `ApiClient` is given, to make calls to where users say.
        self.session = Session(self, ca_file=ca_file)

    def check(self, url: str) -> None:
        """Refuse *url* now, as far as can be told before it is used.

        Raises:
            ForbiddenUrlError: It is malformed, or leads to what is not public.
            RemoteUnavailableError: Its name is not known.
        """
        scheme, host, port, _ = _parse(url)
        try:
            self.addresses(scheme, host, port)
        except OSError as error:
            raise RemoteUnavailableError(f"the name {host} is not known") from error

    def url(self, url: str) -> str:
        """Return *url* in the one form that all parsers read alike."""
        scheme, host, port, rest = _parse(url)
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{host}:{port}{rest or '/'}"

    def addresses(self, scheme: str, host: str, port: int) -> Sequence[str]:
        """Look *host* up, once, and return its addresses if all may be reached."""
        host = host.lower().rstrip(".")
        found = [ip_address(text) for text in self._resolve(host, port)]
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
    ) -> int:
        """Bring what *url* leads to into *target*, whole or not at all.

        Returns:
            How many bytes it has.

        Raises:
            ForbiddenUrlError: It, or where it is redirected to, may not be reached.
            RejectedError: There is no such thing, or more than *max_bytes* of it.
            RemoteUnavailableError: The server does not answer, or not to the end.
        """
        partial = target.with_name(f"{target.name}.part")
        try:
            with partial.open("wb") as file:
                self._follow(url, file, max_bytes, check)
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

    def _follow(
        self,
        url: str,
        file: BinaryIO,
        max_bytes: int,
        check: Callable[[], None] | None,
    ) -> None:
        client = ApiClient(name="download", session=self.session, limits=OUTSIDE)
        for _ in range(REDIRECTS + 1):
            call = Call(
                "GET",
                url,
                headers={"Accept-Encoding": "identity"},
                accept=REDIRECT_STATUSES,
            )
            answer = client.fetch(call, file, max_bytes=max_bytes, check=check)
            if answer.status not in REDIRECT_STATUSES:
                return
            url = urljoin(url, answer.headers.get("Location", ""))
            url = url.partition("#")[0]
        raise RejectedError("download: redirected too often", code="redirects")

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


def _parse(url: str) -> tuple[str, str, int, str]:
    """Return scheme, host, port and the rest of a *url* that has but one reading.

    Raises:
        ForbiddenUrlError: It has, or is none.
    """
    if len(url) > LONGEST_URL:
        raise _malformed(f"it has more than {LONGEST_URL} characters")
    if not url.isprintable() or re.search(r"[\s\\]", url):
        raise _malformed("it holds a space, a backslash or a control character")
    parts = URL.fullmatch(url)
    if not parts:
        raise _malformed("it must begin with https:// and have no #fragment")
    authority = AUTHORITY.fullmatch(parts[2])
    if not authority:
        raise _malformed("its host must be a name, with no user and no odd sign in it")
    scheme = parts[1].lower()
    host = _literal(authority[1]) if authority[1] else _name(authority[2])
    port = int(authority[3] or (443 if scheme == "https" else 80))
    return scheme, host, port, parts[3]


def _literal(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError:
        raise _malformed("its host is no IPv6 address") from None


def _name(text: str) -> str:
    """Return the host name in ASCII, lower case, without the dot of the root."""
    if not text.isascii():
        try:
            text = parse_url(f"//{text}").host or ""
        except LocationParseError:
            raise _malformed("its host is no name") from None
    host = text.lower().removesuffix(".")
    if not NAME.fullmatch(host):
        raise _malformed("its host is no name")
    if NUMBER.fullmatch(host):
        try:
            IPv4Address(host)
        except ValueError:
            raise _malformed("its host is no IPv4 address") from None
    return host


def _malformed(why: str) -> ForbiddenUrlError:
    return ForbiddenUrlError(f"the URL cannot be used: {why}")


def _not_public(host: str) -> ForbiddenUrlError:
    return ForbiddenUrlError(
        f"{host} is not on the public internet; give a URL that everyone can reach"
    )
