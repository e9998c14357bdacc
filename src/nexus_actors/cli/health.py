"""``health``: asks a worker of this machine how it is, for containers and scripts."""

from __future__ import annotations

import json
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any, Final

import click

from nexus_actors.core.errors import RemoteUnavailableError
from nexus_actors.core.settings import CoreSettings


#: How long a worker may take to answer, in seconds.
TIMEOUT_S: Final = 5.0

#: More than any worker says, in bytes.
MAX_BYTES: Final = 1024 * 1024

#: Where a program on this machine reaches who listens on all of its addresses.
LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound


@click.command()
@click.option("--ready", "path", flag_value="/readyz", help="Does it take jobs?")
@click.option("--live", "path", flag_value="/livez", help="Does it not hang?")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="By default HEALTH_CHECK_PORT, else that of NEXUS_DOMAINS, else 3000.",
)
def health(*, path: str | None, port: int | None) -> int:
    """Ask the worker of this machine how it is.

    The exit code is 1 unless it is well.
    """
    settings = CoreSettings.load()
    host = LOOPBACK.get(settings.health_check_host, settings.health_check_host)
    status, told = _ask(host, port or _port(settings), path or "/health")
    click.echo(json.dumps(told))  # one line, also on a terminal
    return int(status != HTTPStatus.OK)


def _port(settings: CoreSettings) -> int:
    from nexus_actors.app import worker_of

    if settings.health_check_port:
        return settings.health_check_port
    names = (settings.domains or "").split(",")
    return worker_of([name.strip() for name in names if name.strip()])[1]


def _ask(host: str, port: int, path: str) -> tuple[int, dict[str, Any]]:
    connection = HTTPConnection(host, port, timeout=TIMEOUT_S)
    where = f"http://{f'[{host}]' if ':' in host else host}:{port}{path}"
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        told = json.loads(answer.read(MAX_BYTES))
        return answer.status, {"status": told["status"], "reasons": told["reasons"]}
    except (OSError, HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise RemoteUnavailableError(
            f"no worker answers at {where}: {reason}"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise RemoteUnavailableError(f"what answers at {where} is no worker") from None
    finally:
        connection.close()
