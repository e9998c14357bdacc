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

import hashlib
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

import redis

from nexus_actors.core.together import Call, CallInterruptedError, Together


Name = Literal[
    "beat",
    "cancel",
    "circuit",
    "count",
    "cron",
    "enqueue",
    "fetch",
    "hear",
    "heed",
    "hold",
    "join",
    "measure",
    "pause",
    "promote",
    "purge",
    "recover",
    "requeue",
    "reschedule",
    "revive",
    "settle",
    "spend",
    "sweep",
]

#: What stands before a script, beside what stands before all.
SHARED: Final = {
    "count": ("states",),
    "cron": ("store",),
    "enqueue": ("store",),
    "fetch": ("take",),
    "measure": ("states",),
    "settle": ("take",),
}

#: Where the scripts lie.
FOLDER: Final = files("nexus_actors.engine") / "lua"


@cache
def text_of(name: str) -> str:
    """Return a script with what it shares with others in front of it."""
    parts = ["common", *SHARED.get(name, ()), name]
    return "".join((FOLDER / f"{part}.lua").read_text() for part in parts)


#: How long a connection counts as just used, in seconds.
KEPT_S: Final = 1.0


class Scripts:
    """Runs the scripts for one namespace; Redis keeps them, and is told when not.

    A command of redis-py costs three times what the socket does; these go by the
    connection itself.
    """

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self._pool = client.connection_pool
        self._namespace = namespace
        self._together = Together(self._send)
        self._kept: Any = None
        self._kept_since = 0.0

    def __call__(self, name: Name, *args: Any) -> Any:
        """Run one script.

        Raises:
            redis.RedisError: It did not run, or its answer was lost.
        """
        command = self._command(name, args)
        with self._connection() as connection:
            connection.send_command(*command)
            try:
                return connection.read_response()
            except redis.exceptions.NoScriptError:
                connection.send_command("SCRIPT LOAD", text_of(name))
                connection.read_response()
                connection.send_command(*command)
                return connection.read_response()

    def in_turn(self, name: Name, calls: Iterable[Sequence[Any]]) -> list[Any]:
        """Run one script for each of *calls*; while it runs, the next is made.

        Raises:
            redis.RedisError: One did not run, or its answer was lost; those after it
                may have run.
        """
        answers: list[Any] = []
        unknown: list[tuple[int, Sequence[Any]]] = []
        under_way: deque[Sequence[Any]] = deque()

        def read(connection: Any) -> None:
            args = under_way.popleft()
            try:
                answers.append(connection.read_response())
            except redis.exceptions.NoScriptError:
                unknown.append((len(answers), args))
                answers.append(None)

        with self._connection() as connection:
            try:
                for args in calls:
                    connection.send_command(*self._command(name, args))
                    under_way.append(args)
                    if len(under_way) > 1:
                        read(connection)
                while under_way:
                    read(connection)
            except BaseException:  # the answer to a later one may be on its way
                connection.disconnect()
                raise
        for at, args in unknown:
            answers[at] = self(name, *args)
        return answers

    def await_hint(self, key: str, timeout_s: float) -> bool:
        """Wait until something is in the list *key*, and take it; or for so long.

        Returns:
            Whether there was something.

        Raises:
            redis.RedisError: The answer was lost.
        """
        with self._connection() as connection:
            connection.send_command("BLPOP", key, timeout_s)
            return connection.read_response() is not None

    def _command(self, name: Name, args: Sequence[Any]) -> tuple[Any, ...]:
        return ("EVALSHA", _sha(name), 1, self._namespace, *args)

    def together(self, name: Name, *args: Any) -> Any:
        """Run one script, in one go with those that other threads run just now.

        Each is answered as if it had been sent alone.  One of the threads sends what
        has gathered while the one before it waited for answers, so that none waits
        for others to come.

        Raises:
            redis.RedisError: It did not run, or its answer was lost.
        """
        try:
            return self._together.run(self._command(name, args))
        except redis.exceptions.NoScriptError:
            return self(name, *args)
        except CallInterruptedError:
            raise redis.ConnectionError(
                "the thread that sent it was interrupted"
            ) from None

    def _send(self, calls: Sequence[Call[tuple[Any, ...]]]) -> None:
        refused: redis.ResponseError | None = None
        try:
            with self._kept_connection() as connection:
                connection.send_packed_command(
                    connection.pack_commands([call.wanted for call in calls])
                )
                for call in calls:
                    try:
                        call.end(connection.read_response())
                    except redis.ResponseError as error:
                        call.error = error
                        refused = error if is_replica(error) else refused
                if refused:  # not kept: it would lead to the same server
                    self._leave(connection)
                    raise refused
        except redis.RedisError as error:
            for call in calls:
                if not call.ended and call.error is None:
                    call.error = error

    @contextmanager
    def _kept_connection(self) -> Iterator[Any]:
        """Yield the connection of the thread that leads: there is one at a time.

        The pool looks whether a connection still stands, which takes as long as a
        round trip's system calls: for one that was just used, it does.
        """
        connection, self._kept = self._kept, None
        if connection and time.monotonic() - self._kept_since > KEPT_S:
            self._pool.release(connection)
            connection = None
        connection = connection or self._pool.get_connection()
        try:
            yield connection
        except BaseException:  # an answer may be on its way, and is nobody else's
            connection.disconnect()
            self._pool.release(connection)
            raise
        self._kept, self._kept_since = connection, time.monotonic()

    @staticmethod
    def sha(name: Name) -> str:
        """Return the name under which Redis knows a script."""
        return _sha(name)

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        connection: Any = self._pool.get_connection()
        try:
            yield connection
        except redis.ResponseError as error:
            if is_replica(error):
                self._leave(connection)
            raise
        except BaseException:  # an answer may be on its way, and is nobody else's
            connection.disconnect()
            raise
        finally:
            self._pool.release(connection)

    def _leave(self, connection: Any) -> None:
        """Close what leads to a master that is none any more: its name leads on."""
        connection.disconnect()
        self._pool.disconnect(inuse_connections=False)


def is_replica(error: redis.ResponseError) -> bool:
    """Whether a script was refused since the server is no master."""
    is_told = isinstance(error, redis.exceptions.ReadOnlyError)
    return is_told or "READONLY" in str(error)  # so Redis 6 says it, within a text


@cache
def _sha(name: str) -> str:
    return hashlib.sha1(text_of(name).encode()).hexdigest()  # noqa: S324 - Redis's choice
