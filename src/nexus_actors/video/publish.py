"""Moves outputs to the store: what names others comes after what it names."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from nexus_actors.core.errors import InvalidRequestError, NexusError, TransientError
from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.storage import Storage

from .models import Stored


#: How many objects are written at once.
WRITERS: Final = 8

#: How long cleaning up may take, in seconds.
CLEAR_S: Final = 5

#: How often a running job is looked at, in seconds.
LOOK_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Published:
    """Where the outputs went: *paths* are relative to *prefix* in *storage*."""

    storage: Storage
    prefix: str
    paths: frozenset[str]

    def stored(self, path: str) -> Stored:
        """Return the address of the output at *path*."""
        key = f"{self.prefix}/{path}"
        return Stored(uri=self.storage.uri(key), url=self.storage.url(key))


def fresh_url(uri: str, *, ttl_s: int | None = None) -> str:
    """Return a URL by which a browser finds the output at *uri* now.

    For a host that serves from a private bucket, where the ``url`` of a result ends
    after ``NEXUS_STORAGE_URL_TTL_S``.  Sends nothing, but needs the credentials.

    Args:
        uri: Of an output, as its result has it.
        ttl_s: How long a signed URL lasts, in seconds; as set by default, 7 days at
            most.

    Raises:
        InvalidRequestError: The store that is set does not have this URI.
        ConfigurationError: The settings of the store are wrong.
        AuthorizationError: There are no credentials to sign with.
    """
    storage = Storage.connect(CoreSettings.load())
    key = storage.key(uri)
    if key is None:
        raise InvalidRequestError(f"{uri!r} is not in {storage.name}")
    if storage.signs_urls:
        return storage.signed_url(key, ttl_s=ttl_s)
    return storage.url(key)


class Upload:
    """Stores the files below *root* under *prefix*, which is one job's alone.

    Media that are ready may be stored while the rest is made: `begin`.  `finish` stores
    all that is left, what names others after what it names.  What lies in the folders
    *without* is not stored: outputs were made of it.

    It is a context.  If its body fails, nothing stays under *prefix*: neither what it
    has stored nor what an attempt that was killed has left there.
    """

    def __init__(
        self,
        root: Path,
        prefix: str,
        storage: Storage,
        *,
        without: tuple[str, ...] = (),
    ) -> None:
        self._root = root
        self._prefix = prefix
        self._storage = storage
        self._without = without
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(WRITERS)
        self._begun: dict[str, Future[None]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # what has begun must end, lest it comes after what cleans up
        self._stopped.set()
        self._pool.shutdown(cancel_futures=True)
        if kind is not None:
            _clear(self._prefix, list(self._begun), self._storage)

    def begin(self, *folders: str) -> None:
        """Begin to store the media in *folders*, which are not changed any more.

        Raises:
            NexusError: Of what has begun, something could not be stored.
        """
        self._look(0)
        for path in self._paths():
            if path.split("/", 1)[0] in folders and not _rank(path):
                self._submit(path)

    def finish(
        self,
        *,
        check: Callable[[], None] = lambda: None,
        on_progress: Callable[[float], None] = lambda _: None,
    ) -> Published:
        """Store all that is not stored yet; *check* is asked often whether to go on.

        Raises:
            NexusError: Something could not be stored.
        """
        paths = self._paths()
        for wave in waves(paths):
            for path in wave:
                self._submit(path)
            waits = True
            while waits:
                waits = self._look(LOOK_S)
                on_progress(self._stored / len(paths))
                check()
        return Published(self._storage, self._prefix, frozenset(paths))

    def _paths(self) -> list[str]:
        found = [
            p.relative_to(self._root) for p in self._root.rglob("*") if p.is_file()
        ]
        left_out = {*self._without}
        return sorted(str(p) for p in found if not {*map(str, p.parents)} & left_out)

    def _submit(self, path: str) -> None:
        if path not in self._begun:
            self._begun[path] = self._pool.submit(
                self._storage.put_file,
                f"{self._prefix}/{path}",
                self._root / path,
                check=self._go_on,
            )

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise InterruptedError("another file could not be stored")

    def _look(self, seconds: float) -> bool:
        """Wait so long at most; return whether something is still on its way."""
        ended, pending = wait(self._begun.values(), seconds, FIRST_EXCEPTION)
        for future in ended:
            future.result()
        return bool(pending)

    @property
    def _stored(self) -> int:
        return sum(future.done() for future in self._begun.values())


def _clear(prefix: str, paths: list[str], storage: Storage) -> None:
    """Delete what is under *prefix*, in bounded time: the worker may be told to end."""
    deadline = time.monotonic() + CLEAR_S

    def check() -> None:
        if time.monotonic() > deadline:
            raise TransientError("the store does not answer")

    # a store that fails now leaves what it has
    with suppress(NexusError):  # by name: what was cut off may not be listed yet
        storage.delete([f"{prefix}/{path}" for path in paths], check=check)
    with suppress(NexusError):
        storage.delete(storage.keys(prefix, check=check), check=check)


def waves(paths: list[str]) -> list[list[str]]:
    """Part *paths* into what may be stored at once: media, playlists, entry points."""
    parted: list[list[str]] = [[], [], []]
    for path in paths:
        parted[_rank(path)].append(path)
    return [wave for wave in parted if wave]


def _rank(path: str) -> int:
    if path.endswith(("/master.m3u8", ".mpd", "metadata.json")):
        return 2
    return 1 if path.endswith((".m3u8", ".vtt")) else 0
