"""Where the bytes of a post come from: a path, a store, a guarded URL."""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from nexus_actors.core.errors import ConfigurationError, RejectedError
from nexus_actors.core.guard import Guard
from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.storage import Storage
from nexus_actors.core.urls import WebUrl, is_web, path_of

from .models import is_remote


#: What is read at a time, to tell whether a file is the same.
BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """Brings files here, into *folder*, and makes addresses that platforms can fetch.

    What has been brought stays for the next run on this host.
    """

    core: CoreSettings
    folder: Path
    max_bytes: int
    guard: Guard

    def bring(self, path: str, *, check: Callable[[], None]) -> Path:
        """Return the file at *path*: itself, or a copy of what is elsewhere.

        Raises:
            RejectedError: It is not there, or too large, or a URL of no public place.
        """
        if path.startswith("file://"):
            Storage.holding(path, self.core)  # what lies elsewhere is refused
            return _local(path_of(path))
        if not is_remote(path):
            return _local(Path(path))
        name = hashlib.sha256(path.encode()).hexdigest()[:32]
        target = self.folder / name
        if not target.exists():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if is_web(path):
                self.guard.download(path, target, max_bytes=self.max_bytes, check=check)
            else:
                store, key = Storage.holding(path, self.core)
                store.get_file(key, target, max_bytes=self.max_bytes, check=check)
        if not target.stat().st_size:
            where = urlsplit(path).hostname  # a URL may be a secret
            raise RejectedError(f"the file that {where} has is empty", code="empty")
        return target

    def renditions(self, video_id: str, *, check: Callable[[], None]) -> list[str]:
        """Return the MP4s of a processed video in our store, the best first.

        One without a mark comes before all others.

        Raises:
            RejectedError: There is none, or there are those of several versions.
        """
        store = Storage.connect(self.core)
        pattern = re.compile(rf"{re.escape(video_id)}/([^/]+)/mp4/([^/]+)\.mp4")
        found = [
            m
            for key in store.keys(f"{video_id}/", check=check)
            if (m := pattern.fullmatch(key))
        ]
        versions = {match[1] for match in found}
        if len(versions) != 1:
            what = "several versions" if versions else "no MP4"
            raise RejectedError(
                f"the store has {what} of the video {video_id!r}: give the video_path "
                "of the one that is meant",
                code="ambiguous" if versions else "not_found",
            )
        found.sort(key=lambda match: _height(match[2]), reverse=True)
        return [store.uri(match[0]) for match in found]

    def address(self, path: str, *, key: str, check: Callable[[], None]) -> str:
        """Return a URL by which a platform can fetch *path*.

        A web URL is checked and handed on.  What is in our store has an address; any
        other file is put there under *key* first, which nobody can guess.

        Raises:
            ForbiddenUrlError: It leads to what is not public.
            ConfigurationError: The store has no address that others can reach.
        """
        if is_web(path):
            self.guard.check(path)
            # of what is encoded already, nothing: it may be signed
            return quote(str(WebUrl.parse(path)), safe=string.punctuation)
        store = Storage.connect(self.core)
        known = store.key(path) if is_remote(path) else None
        if known is None:
            known = f"social/{quote(key, safe='/')}"
            store.put_file(known, self.bring(path, check=check), check=check)
        address = store.url(known)
        if not is_web(address):
            raise ConfigurationError(
                "the platform must fetch the file by itself, and the store is a folder "
                "that it cannot reach: set STORAGE_PUBLIC_URL, or give a https:// URL"
            )
        return address


def _local(path: Path) -> Path:
    """Return *path*, if there is a file that can be read.

    Raises:
        RejectedError: There is none.
    """
    try:
        if not path.is_file():
            raise RejectedError(f"no file {path}", code="not_found")
        with path.open("rb") as file:
            if not file.read(1):
                raise RejectedError(f"{path} is empty", code="empty")
    except OSError as error:
        raise RejectedError(
            f"{str(path)[:200]} cannot be read: {error.strerror}", code="not_found"
        ) from error
    return path


def _height(name: str) -> float:
    """Return by what renditions are ordered: the clean one, then the largest."""
    return float("inf") if name == "clean" else float(name) if name.isdecimal() else 0


def fingerprint(path: Path, check: Callable[[], None]) -> str:
    """Return a digest of the whole file, so that a resumed upload is of the same."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            check()
    return digest.hexdigest()
