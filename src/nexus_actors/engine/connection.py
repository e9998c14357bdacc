"""How this library talks to Redis."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qs

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from nexus_actors.core.errors import BrokerUnavailable, ConfigurationError
from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.urls import split_authority

from . import sentinel


#: Seconds to wait for a connection, and for an answer.  Nothing here blocks longer.
TIMEOUT_S: Final = 4.0

#: The oldest Redis that has the commands of our scripts.
MIN_VERSION: Final = (6, 2)

#: In which way the queue is kept in Redis: a greater number is one that older workers
#: would misread.  What they merely do not look at needs none.
LAYOUT: Final = 1

#: How Redis Cluster answers a script that names one key and uses several.
CLUSTER_ERRORS: Final = ("MOVED", "ASK", "CROSSSLOT", "CLUSTERDOWN")

#: What stands around OpenSSL's words.
TLS_NOISE: Final = re.compile(r".*\[SSL[^]]*\] ?| *\(_ssl\.c:\d+\)|[. ]+$")


def connect(settings: CoreSettings) -> redis.Redis:
    """Return a client for the server that *settings* names; does no I/O yet.

    The client never repeats a command by itself: a repeated enqueue whose first
    answer was lost would be a second job.

    Raises:
        ConfigurationError: The URL is not one that redis-py understands.
    """
    options: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": TIMEOUT_S,
        "socket_connect_timeout": TIMEOUT_S,
        "decode_responses": False,
    }
    if settings.redis_url is None:
        password = settings.redis_password
        return redis.Redis(
            host=settings.redis_host,
            port=settings.redis_port,
            db=settings.redis_db,
            password=password.get_secret_value() if password else None,
            protocol=2,
            **options,
        )
    url = settings.redis_url.get_secret_value()
    try:
        _, parts = split_authority(url)
        if "protocol" not in parse_qs(parts.query):
            options["protocol"] = 2
        if parts.scheme in sentinel.SCHEMES:
            return sentinel.connect(url, **options)
        if parts.scheme == "unix":
            del options["socket_connect_timeout"]
        elif parts.path.strip("/"):
            int(parts.path.strip("/"))  # redis-py takes any other text for 0
        return redis.Redis(
            connection_pool=redis.ConnectionPool.from_url(url, **options)
        )
    except ValueError:  # its text quotes what may be a part of the password
        raise ConfigurationError(
            "REDIS_URL is not a redis://, rediss:// or unix:// URL, nor "
            "redis+sentinel://host:26379,host:26379/master/0; "
            "special characters in a password are written as %XX"
        ) from None


def close(client: redis.Redis) -> None:
    """Close the connections to the server, and to the sentinels if there are any."""
    client.close()
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        for asked in pool.sentinel_manager.sentinels:
            asked.close()


def describe(client: redis.Redis) -> str:
    """Name the server of *client* without its password."""
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        return sentinel.describe(pool.sentinel_manager, pool.service_name)
    options = pool.connection_kwargs
    if "path" in options:
        return f"unix://{options['path']}"
    return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"


def unavailable(client: redis.Redis, error: Exception) -> BrokerUnavailable:
    """Turn redis-py's *error* into ours, saying what to do.

    Raises:
        ConfigurationError: The server is none that can be used.
    """
    reason = str(error).split("\n", 1)[0] or type(error).__name__
    is_cluster = reason.startswith(CLUSTER_ERRORS) or "non local key" in reason
    if is_cluster or isinstance(error, redis.exceptions.ClusterError):
        raise _no_cluster(client) from error
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        raise ConfigurationError(
            f"Redis at {describe(client)} cannot be trusted: "
            f"{TLS_NOISE.sub('', reason)} (name who has signed its certificate: "
            "add ?ssl_ca_certs=/path/ca.pem to REDIS_URL)"
        ) from error
    return BrokerUnavailable(
        f"Redis at {describe(client)} cannot be used: {reason} ({_cure(error, reason)})"
    )


def _cure(error: Exception, reason: str) -> str:
    """Return what to do about *error*."""
    is_stranger = isinstance(error, redis.AuthenticationError)
    if is_stranger or "unauthenticated" in reason:
        return "put the right password into REDIS_URL, or into REDIS_PASSWORD"
    if "permission" in reason:
        return "let this user do so, with ACL SETUSER"
    if "'maxmemory'" in reason:
        return "it is full: let workers empty it, or raise maxmemory"
    return "start it, or set REDIS_URL to one that runs"


@contextmanager
def translated(client: redis.Redis) -> Iterator[None]:
    """Raise redis-py's errors of the body as ours."""
    try:
        yield
    except redis.RedisError as error:
        raise unavailable(client, error) from error


def check_server(client: redis.Redis) -> None:
    """Refuse a server that our scripts cannot run on; one that is away is no reason.

    Raises:
        ConfigurationError: It is a cluster, too old, not to be trusted, or does not
            take our password.
    """
    try:
        info: Any = client.info()
    except redis.AuthenticationError as error:
        raise ConfigurationError(unavailable(client, error).message) from error
    except redis.RedisError as error:
        unavailable(client, error)
        return  # it is away: whoever needs it waits for it, and says so
    if info.get("cluster_enabled") or info.get("redis_mode") == "cluster":
        raise _no_cluster(client)
    version = str(info.get("redis_version", ""))
    numbers = [int(part) for part in version.split(".") if part.isdigit()]
    if tuple(numbers[:2]) < MIN_VERSION:
        raise ConfigurationError(
            f"Redis at {describe(client)} is version {version}; "
            "at least 6.2 is needed, or any Valkey"
        )


def check_layout(client: redis.Redis, namespace: str) -> None:
    """Refuse a queue that a newer release keeps in another way.

    Raises:
        ConfigurationError: Saying so, or that the namespace is somebody else's.
    """
    key = f"{namespace}:__layout__"
    try:
        found: Any = client.get(key)
        if found is None:
            client.set(key, LAYOUT)
    except redis.RedisError as error:  # as above
        unavailable(client, error)
        return
    if found is None:
        return
    if not found.isdigit():
        raise ConfigurationError(
            f"{key} in Redis at {describe(client)} is somebody else's: "
            "set NEXUS_REDIS_NAMESPACE to a name that is not in use"
        )
    if int(found) > LAYOUT:
        raise ConfigurationError(
            f"the queue in Redis at {describe(client)} is kept as a newer release does "
            f"(layout {int(found)}, and this release knows {LAYOUT}): "
            "upgrade nexus-actors"
        )


def _no_cluster(client: redis.Redis) -> ConfigurationError:
    return ConfigurationError(
        f"Redis at {describe(client)} is a cluster: a queue needs a single server, "
        "with replicas if you like"
    )
