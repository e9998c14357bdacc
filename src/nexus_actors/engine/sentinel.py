"""Redis Sentinel: which of several servers is the master, asked at every connection.

The URL names the sentinels, the master, and the database::

    redis+sentinel://[user:password@]host1:26379,host2:26379/mymaster/0

User and password are the server's; ``?sentinel_username=`` and ``?sentinel_password=``
those of the sentinels.  ``rediss+sentinel://`` speaks TLS to both.  Other options are
redis-py's, as in any URL.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote, urlsplit

import redis
from redis.connection import parse_url
from redis.sentinel import MasterNotFoundError, Sentinel

from nexus_actors.core.urls import split_authority


#: Either means that the URL names sentinels; the second speaks TLS.
SCHEMES: Final = ("redis+sentinel", "rediss+sentinel")

PORT: Final = 26379

#: Seconds to wait for a sentinel: there are others.
TIMEOUT_S: Final = 0.5

#: Seconds to wait for the master; with the sentinels, a sender waits no longer than for
#: a single server.
MASTER_TIMEOUT_S: Final = 3.0


class Sentinels(Sentinel):
    """Asks one sentinel after the other, beginning with the one that answered last."""

    _first = 0

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return host and port of the master.

        Raises:
            MasterNotFoundError: No sentinel answers, or none knows of it.
        """
        count, reason = len(self.sentinels), ""
        for number in range(self._first, self._first + count):
            sentinel = self.sentinels[number % count]
            try:
                found: Any = sentinel.execute_command(
                    "SENTINEL GET-MASTER-ADDR-BY-NAME", service_name
                )
            except (redis.ConnectionError, redis.TimeoutError) as error:
                reason = reason or f"no sentinel answers: {error}"
                continue
            if found:
                self._first = number % count
                host, port = found
                return host.decode() if isinstance(host, bytes) else host, int(port)
            reason = f"the sentinels know of no master called {service_name!r}"
        raise MasterNotFoundError(reason)


def connect(url: str, **options: Any) -> redis.Redis:
    """Return a client for the master that the sentinels of *url* name; does no I/O.

    Raises:
        ValueError: The URL is not of the form above.
    """
    authority, parts = split_authority(url)
    service, _, database = parts.path.strip("/").partition("/")
    user, _, hosts = authority.rpartition("@")
    name, _, password = user.partition(":")
    if not service:
        raise ValueError("the path names the master")
    asked: dict[str, Any] = parse_url(f"redis://host?{parts.query}")
    del asked["host"]
    ours = {key: asked.pop(f"sentinel_{key}", None) for key in ("username", "password")}
    encryption = {key: value for key, value in asked.items() if key.startswith("ssl_")}
    if parts.scheme == SCHEMES[1]:
        encryption["ssl"] = True
    to_sentinels = {**options, **encryption, **ours, **_waits(TIMEOUT_S), "protocol": 2}
    sentinels = Sentinels(  # type: ignore[no-untyped-call]
        [_address(host) for host in hosts.split(",")], sentinel_kwargs=to_sentinels
    )
    asked |= {"db": int(database or asked.get("db", 0))}
    asked |= {"username": unquote(name)} if name else {}
    asked |= {"password": unquote(password)} if password else {}
    client: redis.Redis = sentinels.master_for(  # type: ignore[no-untyped-call]
        service, **{**options, **_waits(MASTER_TIMEOUT_S), **asked, **encryption}
    )
    return client


def _waits(seconds: float) -> dict[str, float]:
    return {"socket_timeout": seconds, "socket_connect_timeout": seconds}


def _address(host: str) -> tuple[str, int]:
    parts = urlsplit(f"//{host}")
    if not parts.hostname:
        raise ValueError("a sentinel has no host")
    return parts.hostname, parts.port or PORT


def describe(sentinels: Sentinel, service: str) -> str:
    """Name the master and who is asked for it."""
    asked = [client.connection_pool.connection_kwargs for client in sentinels.sentinels]
    hosts = ",".join(f"{item['host']}:{item['port']}" for item in asked)
    return f"{service}, by the sentinels {hosts},"
