"""Where outputs go: an object store behind one small class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from .errors import ConfigurationError, MissingExtraError, ResourceError
from .settings import CoreSettings


#: What a store says when it is full, or over its quota.
FULL = ("No space left", "os error 28", "Disk quota exceeded", "os error 122")


@dataclass(frozen=True)
class Storage:
    """A folder that is addressed by keys, as every object store is.

    Keys are relative, with slashes.  A browser reaches the root by *public_url*.
    """

    root: Path
    public_url: str | None
    _store: Any = field(repr=False)

    @classmethod
    def connect(cls, settings: CoreSettings) -> Storage:
        """Open the store that *settings* name; a folder is made if there is none.

        Raises:
            ConfigurationError: The URL is of no known kind, or cannot be written.
            MissingExtraError: The obstore package is not installed.
        """
        try:
            from obstore.store import LocalStore
        except ImportError as error:
            raise MissingExtraError("storage", "video") from error
        root = _folder(settings.storage_url)
        try:
            root.mkdir(parents=True, exist_ok=True)
            store = LocalStore(prefix=root, automatic_cleanup=True)
        except OSError as error:
            raise _unusable(root, (error.strerror or "error").lower()) from error
        if not os.access(root, os.W_OK | os.X_OK):  # before hours of work, not after
            raise _unusable(root, "it cannot be written")
        return cls(root, settings.storage_public_url, store)

    def put_file(self, key: str, path: Path) -> None:
        """Store the file at *path* under *key*; readers see all of it or nothing.

        Raises:
            ResourceError: The store is full or does not answer.
        """
        import obstore

        with self._translated():
            obstore.put(self._store, key, path)

    def delete(self, keys: list[str]) -> None:
        """Delete what is stored under *keys*; what is not there is no error.

        Raises:
            ResourceError: The store does not answer.
        """
        import obstore

        for key in keys:
            with self._translated(), suppress(FileNotFoundError):
                obstore.delete(self._store, key)

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys below *prefix*, sorted.

        Raises:
            ResourceError: The store does not answer.
        """
        import obstore

        with self._translated():
            found = obstore.list(self._store, prefix or None)
            return sorted(item["path"] for batch in found for item in batch)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the store's errors into ours."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (OSError, BaseError) as error:
            if any(text in str(error) for text in FULL):
                raise ResourceError(
                    f"the storage at {self.root} is full; "
                    "free some space, or set STORAGE_URL to a larger disk",
                    code="disk_full",
                ) from error
            reason = (str(error).splitlines() or ["no reason given"])[0]
            raise ResourceError(
                f"the storage at {self.root} does not work: {reason}", code="storage"
            ) from error

    def uri(self, key: str) -> str:
        """Return the URI of *key* in the store."""
        return (self.root / key).as_uri()

    def url(self, key: str) -> str:
        """Return what a browser finds *key* by: the URI where no public URL is set."""
        if self.public_url is None:
            return self.uri(key)
        return f"{self.public_url.rstrip('/')}/{quote(key)}"


def _unusable(root: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"cannot store outputs in {root}: {reason}; "
        "set STORAGE_URL to a folder that this user may write"
    )


def _folder(url: str) -> Path:
    if "://" not in url:
        return Path(url).expanduser().absolute()
    parts = urlsplit(url)
    if parts.scheme != "file":
        raise ConfigurationError(
            f"STORAGE_URL: {parts.scheme}:// is not supported; "
            "give a folder or a file:// URL"
        )
    if parts.netloc not in {"", "localhost"} or not parts.path.strip("/"):
        raise ConfigurationError(
            f"STORAGE_URL: {url} names no folder of this machine; "
            "give a folder, or file:///path/to/folder"
        )
    return Path(unquote(parts.path))
