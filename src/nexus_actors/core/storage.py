"""Where outputs go: an object store behind one small class."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from .errors import ConfigurationError, MissingExtraError, ResourceError
from .settings import CoreSettings


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
            store = LocalStore(prefix=root)
        except OSError as error:
            raise ConfigurationError(
                f"cannot store outputs in {root}: {(error.strerror or '').lower()}; "
                "set STORAGE_URL to a folder that this user may write"
            ) from error
        return cls(root, settings.storage_public_url, store)

    def put_file(self, key: str, path: Path) -> None:
        """Store the file at *path* under *key*; readers see all of it or nothing.

        Raises:
            ResourceError: The store is full or does not answer.
        """
        import obstore

        try:
            obstore.put(self._store, key, path)
        except (OSError, obstore.exceptions.BaseError) as error:
            full = "No space left" in str(error) or "os error 28" in str(error)
            reason = "it is full" if full else str(error).split("\n", 1)[0]
            raise ResourceError(
                f"cannot write to the storage at {self.root}: {reason}; "
                "free some space, or set STORAGE_URL",
                code="storage_full" if full else "storage",
            ) from error

    def delete(self, keys: list[str]) -> None:
        """Delete what is stored under *keys*; what is not there is no error."""
        import obstore

        for key in keys:
            try:
                obstore.delete(self._store, key)
            except (FileNotFoundError, obstore.exceptions.BaseError):
                continue

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys below *prefix*, sorted."""
        import obstore

        found = obstore.list(self._store, prefix or None)
        return sorted(item["path"] for batch in found for item in batch)

    def uri(self, key: str) -> str:
        """Return the URI of *key* in the store."""
        return (self.root / key).as_uri()

    def url(self, key: str) -> str:
        """Return what a browser finds *key* by: the URI where no public URL is set."""
        if self.public_url is None:
            return self.uri(key)
        return f"{self.public_url.rstrip('/')}/{quote(key)}"


def _folder(url: str) -> Path:
    if "://" not in url:
        return Path(url).expanduser().absolute()
    parts = urlsplit(url)
    if parts.scheme != "file":
        raise ConfigurationError(
            f"STORAGE_URL: {parts.scheme}:// is not supported; "
            "give a folder or a file:// URL"
        )
    return Path(unquote(parts.path))
