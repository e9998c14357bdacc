"""URLs of users, only as every parser reads them alike; and those of servers."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final, Self
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from .errors import ForbiddenUrlError


#: The longest URL that is looked at; presigned ones may have more than 2000 characters.
LONGEST_URL: Final = 4096

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


def is_web(text: str) -> bool:
    """Return whether *text* is meant as such a URL, well-formed or not."""
    return bool(re.match(r"\s*https?:", text, re.IGNORECASE))


def split_authority(url: str) -> tuple[str, SplitResult]:
    """Return users and hosts of a server's URL, which may be several, and the rest.

    Some releases of Python refuse an IPv6 address that stands after another host.

    Raises:
        ValueError: The rest is none of a URL.
    """
    scheme, mark, rest = url.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    return authority, urlsplit(f"{scheme}{mark}{rest[len(authority) :]}")


def path_of(url: str) -> Path:
    """Return the path on this machine that a ``file://`` URL means."""
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(url).path)))  # UTF-8, or not


@dataclass(frozen=True, slots=True, repr=False)
class WebUrl:
    """The parts of an ``http://`` or ``https://`` URL.

    Attributes:
        host: A name in ASCII, lower case and without the dot of the root, or an
            address; IPv6 without its brackets.
        rest: Path and query; often a secret.
    """

    scheme: str
    host: str
    port: int
    rest: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URL that has but one reading.

        Raises:
            ForbiddenUrlError: It has several, or is none.
        """
        if len(text) > LONGEST_URL:
            raise _malformed(f"it has more than {LONGEST_URL} characters")
        if not text.isprintable() or re.search(r"[\s\\]", text):
            raise _malformed("it holds a space, a backslash or a control character")
        parts = URL.fullmatch(text)
        if not parts:
            raise _malformed(
                "it must begin with https:// and a host, and have no #fragment"
            )
        authority = AUTHORITY.fullmatch(parts[2])
        if not authority:
            raise _malformed(
                "its host must be a name, with no user and no odd sign in it"
            )
        scheme = parts[1].lower()
        host = _literal(authority[1]) if authority[1] else _name(authority[2])
        port = int(authority[3] or (443 if scheme == "https" else 80))
        return cls(scheme, host, port, parts[3] or "/")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.rest}"

    def __repr__(self) -> str:
        return f"<WebUrl {self.host}>"


def _literal(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError:
        raise _malformed("its host is no IPv6 address") from None


def _name(text: str) -> str:
    """Return the host name in ASCII, lower case, without the dot of the root."""
    if not text.isascii():
        text = _to_ascii(text)
    host = text.lower().removesuffix(".")
    if not NAME.fullmatch(host):
        raise _malformed("its host is no name")
    if NUMBER.fullmatch(host):
        try:
            IPv4Address(host)
        except ValueError:
            raise _malformed("its host is no IPv4 address") from None
    return host


def _to_ascii(text: str) -> str:
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    try:
        return parse_url(f"//{text}").host or ""
    except LocationParseError:
        raise _malformed("its host is no name") from None


def _malformed(why: str) -> ForbiddenUrlError:
    return ForbiddenUrlError(f"the URL cannot be used: {why}")
