"""Where outputs go and inputs come from: an object store behind one small class."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote, unquote

from .errors import (
    ConfigurationError,
    ForbiddenUrlError,
    InvalidRequestError,
    MissingExtraError,
    RejectedError,
    ResourceError,
    TransientError,
)
from .logs import redact
from .loop import loop_of
from .places import folder_of, output_url, unusable
from .s3 import Bucket, explain
from .settings import CoreSettings


#: What a store says when it is full, or over its quota.
FULL: Final = ("No space left", "os error 28", "Disk quota exceeded", "os error 122")

#: What files are told to be, where Python's table does not know it or knows otherwise.
MEDIA_TYPES: Final = {
    ".log": "text/plain",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".m4s": "video/iso.segment",
    ".mp4": "video/mp4",
    ".mpd": "application/dash+xml",
    ".ts": "video/mp2t",
    ".vtt": "text/vtt",
    ".webp": "image/webp",
}

#: What names others is asked for again after a minute; the rest never changes.
NAMES_OTHERS: Final = {".m3u8", ".mpd", ".json"}
BRIEFLY: Final = "public, max-age=60"
FOR_EVER: Final = "public, max-age=31536000, immutable"

#: What is sent or fetched by one request; the least that S3 takes as a part.
PART_BYTES: Final = 5 << 20

#: S3's most parts of one object, and how many of a file are on their way at once.
MAX_PARTS: Final = 10_000
PARTS_AT_ONCE: Final = 2

#: S3 takes no signature that is older, in seconds.
MAX_TTL_S: Final = 7 * 86400

#: How often a caller that waits is asked whether it may, in seconds.
LOOK_S: Final = 0.2

#: A write that is stopped may end by itself for so long, in seconds: then S3 drops the
#: parts that it has.
GRACE_S: Final = 3

#: What is written to see whether a store can be written.
PROBE: Final = ".nexus-probe"

Check = Callable[[], None]


def _go_on() -> None:
    """Stop nothing."""


@dataclass(frozen=True)
class Storage:
    """A folder or a bucket, addressed by keys.

    Keys are relative, with slashes.  A browser reaches the root by *public_url*.

    Attributes:
        name: What messages call it: a path, or ``s3://bucket/prefix``.
        bucket: Where it is in S3; ``None`` for a folder.
    """

    name: str
    bucket: Bucket | None
    public_url: str | None
    url_ttl_s: int
    _store: Any = field(repr=False)

    @classmethod
    def connect(cls, settings: CoreSettings) -> Storage:
        """Open the store that outputs go to; a folder is made if there is none.

        Nothing is sent to S3: see `probe`.

        Raises:
            ConfigurationError: The URL is of no known kind, or cannot be written.
            MissingExtraError: The obstore package is not installed.
        """
        url = output_url(settings)
        if url.startswith("s3://"):
            return cls._open(url, "STORAGE_URL", settings, settings.storage_public_url)
        root = folder_of(url, "STORAGE_URL")
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unusable(root, (error.strerror or "error").lower()) from error
        if not os.access(root, os.W_OK | os.X_OK):  # before hours of work, not after
            raise unusable(root, "it cannot be written")
        return cls._open(
            str(root), "STORAGE_URL", settings, settings.storage_public_url
        )

    @classmethod
    def inputs(cls, settings: CoreSettings) -> Storage | None:
        """Open the store that inputs may be read from beside the outputs', if any.

        Raises:
            ConfigurationError: The URL is of no known kind, or names no folder.
        """
        url = settings.storage_input_url
        return cls._open(url, "NEXUS_STORAGE_INPUT_URL", settings) if url else None

    @classmethod
    def holding(cls, uri: str, settings: CoreSettings) -> tuple[Storage, str]:
        """Return the store that an input is in, and its key there.

        Only the stores that are set are looked at: whoever may name a URI must not read
        whatever this worker may.

        Raises:
            ForbiddenUrlError: The URI is in neither of them.
            ConfigurationError: The settings of a store are wrong.
        """
        places = {
            "NEXUS_STORAGE_INPUT_URL": settings.storage_input_url,
            "STORAGE_URL": output_url(settings),
        }
        for variable, url in places.items():
            if url and uri.startswith("s3://") == url.startswith("s3://"):
                store = cls._open(url, variable, settings)
                if (key := store.key(uri)) is not None:
                    return store, key
        raise ForbiddenUrlError(
            f"{redact(uri)!r} may not be read: inputs come from "
            "NEXUS_STORAGE_INPUT_URL and STORAGE_URL alone"
        )

    @classmethod
    def _open(
        cls,
        url: str,
        variable: str,
        settings: CoreSettings,
        public_url: str | None = None,
    ) -> Storage:
        try:
            from obstore.store import LocalStore
        except ImportError as error:
            raise MissingExtraError("storage", "video") from error
        ttl_s = settings.storage_url_ttl_s
        if url.startswith("s3://"):
            bucket = Bucket.parse(url, variable, settings)
            return cls(str(bucket), bucket, public_url, ttl_s, bucket.open())
        root = folder_of(url, variable)
        if not root.is_dir():
            raise ConfigurationError(f"{variable}: there is no folder {root}")
        store = LocalStore(prefix=root, automatic_cleanup=True)
        return cls(str(root), None, public_url, ttl_s, store)

    def probe(self, *, check: Check = _go_on) -> None:
        """See that a bucket lets us write, list and delete: before hours of work.

        Raises:
            NexusError: It does not, and why.
        """
        import obstore

        if self.bucket:  # a folder was looked at when it was opened
            self._wait(
                "write", lambda: obstore.put_async(self._store, PROBE, b""), check
            )
            self.keys(PROBE, check=check)
            self.delete([PROBE], check=check)

    def put_file(self, key: str, path: Path, *, check: Check = _go_on) -> None:
        """Store the file at *path* under *key*; readers see all of it or nothing.

        *check* is called often, and raises if the caller must stop.  Then the write
        ends soon, or is cut off; it may have been complete.

        Raises:
            NexusError: The store refuses, is full, or does not answer.
            OSError: The file cannot be read.
        """
        import obstore

        stopped = threading.Event()
        size = path.stat().st_size
        part = max(PART_BYTES, -(-size // MAX_PARTS))
        small = size <= PART_BYTES
        # closed here: what is cut off may hold its parts for long
        with path.open("rb") as file:
            content = file.read() if small else _parts(file, part, stopped)
            self._wait(
                "write",
                lambda: obstore.put_async(
                    self._store,
                    key,
                    content,
                    attributes=headers(key) if self.bucket else None,
                    chunk_size=part,
                    max_concurrency=PARTS_AT_ONCE,
                ),
                check,
                stopped,
            )

    def get_file(
        self,
        key: str,
        path: Path,
        *,
        max_bytes: int,
        check: Check = _go_on,
        on_progress: Callable[[int, int], None] = lambda _received, _total: None,
    ) -> None:
        """Fetch what is stored under *key* into the file at *path*: all or nothing.

        It is fetched in small ranges; *check* is called often, and raises if the caller
        must stop.  *on_progress* hears how many bytes of how many are written: before
        the first, and after each range.

        Raises:
            RejectedError: There is nothing under *key* (``not_found``), or more than
                *max_bytes* (``too_large``).
            NexusError: The store refuses or does not answer; or what is stored was
                replaced meanwhile (``source_changed``, tried again).
            OSError: The file cannot be written.
        """
        part = path.with_name(f"{path.name}.part")
        try:
            with part.open("wb") as file:
                for block, size in self._blocks(key, max_bytes, check):
                    if not file.tell():
                        on_progress(0, size)
                    file.write(block)
                    on_progress(file.tell(), size)
                file.flush()
                os.fsync(file.fileno())  # whoever finds it later must find all of it
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _blocks(
        self, key: str, max_bytes: int, check: Check
    ) -> Iterator[tuple[bytes, int]]:
        """Yield the parts of one version of an object, each with the size of all."""
        start, size = 0, 1
        options: dict[str, Any] = {}
        while start < size:
            options["range"] = (start, start + PART_BYTES)
            block, meta = self._wait("read", lambda: self._read(key, options), check)
            size, options["if_match"] = meta["size"], meta["e_tag"]
            if size > max_bytes:
                raise RejectedError(
                    f"{self.uri(key)} has {size} bytes; at most {max_bytes} are "
                    "accepted",
                    code="too_large",
                )
            yield block, size
            start += len(block)

    async def _read(self, key: str, options: Any) -> tuple[bytes, Any]:
        import obstore
        from obstore.exceptions import BaseError, PreconditionError

        try:
            got = await obstore.get_async(self._store, key, options=options)
            return bytes(await got.bytes_async()), got.meta
        except PreconditionError:
            raise TransientError(
                f"{self.uri(key)} was replaced while it was read",
                code="source_changed",
            ) from None
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise
            raise RejectedError(
                f"there is no {self.uri(key)}; store it before it is sent",
                code="not_found",
            ) from None
        except ValueError:  # of a key that no store can have
            raise RejectedError(
                f"{self.uri(key)!r} cannot be the name of an object", code="not_found"
            ) from None
        except BaseError as error:
            if "InvalidRange" in str(error):  # there is no first byte
                return b"", {"size": 0, "e_tag": None}
            raise

    def delete(self, keys: list[str], *, check: Check = _go_on) -> None:
        """Delete what is stored under *keys*; what is not there is no error.

        Raises:
            NexusError: The store refuses or does not answer.
        """
        import obstore

        if self.bucket:
            if keys:  # S3 takes many at once, and does not mind what is not there
                self._wait(
                    "delete", lambda: obstore.delete_async(self._store, keys), check
                )
            return
        for key in keys:
            with self._translated("delete"), suppress(FileNotFoundError):
                obstore.delete(self._store, key)

    def keys(self, prefix: str = "", *, check: Check = _go_on) -> list[str]:
        """Return the keys below *prefix*, sorted.

        Raises:
            NexusError: The store refuses or does not answer.
        """
        import obstore

        async def collect() -> list[str]:
            found = await obstore.list(self._store, prefix or None).collect_async()
            return sorted(item["path"] for item in found)

        keys: list[str] = self._wait("list", collect, check)
        return keys

    @property
    def signs_urls(self) -> bool:
        """Whether a browser finds things by signed URLs alone: one for each object."""
        return self.bucket is not None and self.public_url is None

    def uri(self, key: str) -> str:
        """Return the URI of *key* in the store."""
        return f"{self.name}/{key}" if self.bucket else Path(self.name, key).as_uri()

    def key(self, uri: str) -> str | None:
        """Return the key whose `uri` that is; ``None`` if it is not in this store."""
        root = self.name if self.bucket else Path(self.name).as_uri()
        if not uri.startswith(f"{root}/"):
            return None
        key = uri.removeprefix(f"{root}/")
        return key if self.bucket else unquote(key)

    def url(self, key: str) -> str:
        """Return what a browser finds *key* by.

        Below the public URL, if one is set; else a signed URL for a bucket, and the
        URI for a folder.
        """
        if self.public_url is not None:
            return f"{self.public_url.rstrip('/')}/{quote(key)}"
        return self.signed_url(key) if self.bucket else self.uri(key)

    def signed_url(self, key: str, *, ttl_s: int | None = None) -> str:
        """Return a URL by which anybody may read *key* for a while: a secret.

        Args:
            key: Of an object that need not be there.
            ttl_s: For how long, in seconds; as set by default, 7 days at most.

        Raises:
            InvalidRequestError: S3 signs nothing for so long.
            ConfigurationError: This store is a folder, which signs nothing.
            AuthorizationError: There are no credentials to sign with.
        """
        import obstore

        if self.bucket is None:
            raise ConfigurationError(
                f"{self.name} is a folder, which has no signed URLs; "
                "set STORAGE_PUBLIC_URL"
            )
        seconds = self.url_ttl_s if ttl_s is None else ttl_s
        if not 0 < seconds <= MAX_TTL_S:
            raise InvalidRequestError(
                f"ttl_s: a signed URL lasts up to 7 days, not {seconds} s"
            )
        with self._translated("read"):
            signed: str = obstore.sign(
                self._store, "GET", key, timedelta(seconds=seconds)
            )
        return signed

    def _wait(
        self,
        action: str,
        start: Callable[[], Awaitable[Any]],
        check: Check = _go_on,
        stopped: threading.Event | None = None,
    ) -> Any:
        """Wait for what *start* begins, as long as *check* lets us.

        If it does not, a write that hears of *stopped* may end by itself for a while;
        a folder's must, since nothing cuts it off.
        """

        async def run() -> Any:
            with self._translated(action):
                return await start()

        check()
        future = asyncio.run_coroutine_threadsafe(run(), loop_of(os.getpid()))
        try:
            while not future.done():
                wait([future], LOOK_S)
                check()
            return future.result()
        finally:
            if stopped and not future.done():
                stopped.set()
                wait([future], GRACE_S if self.bucket else None)
            future.cancel()

    @contextmanager
    def _translated(self, action: str) -> Iterator[None]:
        """Turn the store's errors into ours."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (OSError, BaseError) as error:
            if self.bucket and isinstance(error, FileNotFoundError | BaseError):
                raise explain(str(error), self.bucket, action) from None
            if any(text in str(error) for text in FULL):
                raise ResourceError(
                    f"the storage at {self.name} is full; "
                    "free some space, or set STORAGE_URL to a larger disk",
                    code="disk_full",
                ) from error
            reason = (str(error).splitlines() or ["no reason given"])[0]
            raise ResourceError(
                f"the storage at {self.name} does not work: {reason}", code="storage"
            ) from error


def _parts(file: BinaryIO, size: int, stopped: threading.Event) -> Iterator[bytes]:
    """Yield *file* in parts; fail once *stopped*, so that nothing of it is kept."""
    while part := file.read(size):
        if stopped.is_set():
            raise InterruptedError("stopped")
        yield part


def headers(key: str) -> dict[str, str]:
    """Return what a browser is told with the object: what it is, how long it stays."""
    suffix = Path(key).suffix.lower()
    guessed, _ = mimetypes.guess_type(key)
    return {
        "Content-Type": MEDIA_TYPES.get(suffix, guessed or "application/octet-stream"),
        "Cache-Control": BRIEFLY if suffix in NAMES_OTHERS else FOR_EVER,
    }
