"""Renews a pair of tokens in a process of its own, which outlives who asked for it.

Where a refresh token is good once, the new pair is in one process alone between the
platform's answer and the end of the write that stores it: if that is killed then, the
pair is gone, and only the account's owner can help.  A worker may be killed at any
time, with all that it runs.  So the call is made, and its answer stored, by a process
that does nothing else: it lives for a second, in a session of its own, and no signal to
a worker, or to its group, reaches it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from nexus_actors.core import clock, errors
from nexus_actors.core.credentials import Account
from nexus_actors.core.errors import NexusError, Postponed, ResourceError
from nexus_actors.core.logs import get_logger
from nexus_actors.core.settings import CoreSettings

from .settings import PlatformSettings


log = get_logger(__name__)

#: How soon to look again for what is not done yet.
AGAIN: Final = timedelta(seconds=1)


def renew_apart(seen: Account, *, timeout_s: float) -> None:
    """Have the tokens of an account renewed, and wait until they are stored.

    Raises:
        Postponed: That takes long; it goes on meanwhile.
        ResourceError: No process can be started.
        NexusError: As `Tokens.renew`.
    """
    command = [sys.executable, "-m", __name__, seen.platform, seen.account]
    try:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [*command, str(seen.version)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    except OSError as error:
        raise ResourceError(f"no process can be started: {error.strerror}") from error
    try:
        told, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        until = clock.now() + AGAIN
        raise Postponed("it is being renewed", code="renewing", until=until) from error
    if process.returncode:
        raise _read(told)


def main(platform: str, account: str, version: str) -> int:
    """Renew the tokens of an account that is still of that *version*."""
    from .vault import open_database, open_tokens

    try:
        core = CoreSettings.load()
        tokens = open_tokens(core, open_database(core), PlatformSettings.load())
        tokens.renew_here(platform, account, version=int(version))
    except NexusError as error:
        with suppress(BrokenPipeError):  # who asked for it is gone
            print(json.dumps(_told(error)), flush=True)  # noqa: T201 - its answer
        return 1
    return 0


def _told(error: NexusError) -> dict[str, Any]:
    told: dict[str, Any] = {
        "type": type(error).__name__,
        "message": error.message,
        "code": error.code,
        "details": error.details,
    }
    if isinstance(error, Postponed):
        told["until"] = error.until.isoformat()
    return told


def _read(told: str) -> NexusError:
    """Return the error that a process has told of; what it did not tell may pass."""
    try:
        found = json.loads(told.splitlines()[-1])
        kind, message = getattr(errors, found["type"]), found["message"]
        more = {"code": found["code"], **found["details"]}
        if "until" in found:
            more["until"] = datetime.fromisoformat(found["until"])
        error: NexusError = kind(message, **more)
    except (ValueError, LookupError, AttributeError):
        return ResourceError("the process that renewed a token has died")
    return error


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
