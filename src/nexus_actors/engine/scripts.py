"""The Lua scripts: every step that moves a message is one of them.

A script runs alone and whole.  A crash before it leaves everything as it was, one after
it everything as it is to be; and an append-only file that is cut off keeps a script or
loses it.  So at any moment a message is in one place: it waits, runs, is scheduled, or
is a dead letter; and who runs it is known to have a lease.  ``lua/common.lua`` lists
the keys, each script says what it changes.

They may be repeated after a lost answer: storing again, settling again, returning again
finds the work done.  Only a fetch cannot: what it took is found by `recovery`, and
returned.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

import redis


Name = Literal[
    "beat",
    "cron",
    "enqueue",
    "fetch",
    "hold",
    "join",
    "promote",
    "recover",
    "requeue",
    "reschedule",
    "settle",
    "sweep",
]

#: Where the scripts lie.
FOLDER: Final = files("nexus_actors.engine") / "lua"


@cache
def _text(name: str) -> str:
    shared = ["common", "take"] if name in {"fetch", "settle"} else ["common"]
    return "".join((FOLDER / f"{part}.lua").read_text() for part in [*shared, name])


class Scripts:
    """Runs the scripts for one namespace; Redis keeps them, and is told when not."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self._client = client
        self._keys = [namespace]
        self._known: dict[str, Any] = {}

    def __call__(self, name: Name, *args: Any) -> Any:
        """Run one script.

        Raises:
            redis.RedisError: It did not run, or its answer was lost.
        """
        return self._script(name)(keys=self._keys, args=args)

    def sha(self, name: Name) -> str:
        """Return the name under which Redis knows a script."""
        return str(self._script(name).sha)

    def _script(self, name: Name) -> Any:
        script = self._known.get(name)
        if script is None:
            script = self._known[name] = self._client.register_script(_text(name))
        return script
