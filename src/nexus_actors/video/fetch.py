"""The step before the guard: brings what is elsewhere into the job's folder, once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from nexus_actors.core.errors import RejectedError, ResourceError
from nexus_actors.core.guard import Guard
from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.storage import Storage
from nexus_actors.core.urls import WebUrl, is_web

from .errors import DiskFullError, SourceError
from .guard import check_room, disk_full


#: How the file is called in the job's folder.  If it is there, all of it is.
NAME: Final = "fetched"


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Knows the ways to an input: a path, a guarded URL, the stores that are set.

    *max_bytes* are the most that it may have.
    """

    guard: Guard
    core: CoreSettings
    max_bytes: int

    def fetch(
        self,
        input_path: str,
        folder: Path,
        *,
        check: Callable[[], None],
        tell: Callable[[float], None],
    ) -> str:
        """Return the path of the input: its own, or in *folder* if it was elsewhere.

        *check* is called often, and raises if the job must stop; *tell* hears which
        share has come.

        Raises:
            ForbiddenUrlError: The URL leads to what is not public, or to no store of
                ours.
            SourceError: There is no such file for us, or it is too large.
            RemoteUnavailableError: The server does not answer, or not to the end.
            DiskFullError: There is no room for it.
        """
        bring = self._way_to(input_path)
        if bring is None:
            return input_path
        target = folder / NAME
        if target.exists():  # an earlier attempt has brought it
            return str(target)

        def hear(received: int, total: int | None) -> None:
            if total and not received:
                check_room(folder, total)
            tell(received / total if total else 0)

        try:
            bring(target, max_bytes=self.max_bytes, check=check, on_progress=hear)
        except RejectedError as error:
            if error.code not in {"not_found", "too_large"}:
                raise
            raise self._refusal(error, input_path) from error
        except ResourceError as error:
            if error.code != "disk_full" or isinstance(error, DiskFullError):
                raise
            raise DiskFullError(disk_full(folder.parent)) from error
        return str(target)

    def _way_to(self, input_path: str) -> Callable[..., object] | None:
        if is_web(input_path):
            return partial(self.guard.download, input_path)
        if input_path.startswith("s3://"):
            store, key = Storage.holding(input_path, self.core)
            return partial(store.get_file, key)
        return None

    def _refusal(self, error: RejectedError, input_path: str) -> SourceError:
        if error.code == "not_found":
            return SourceError(error.message, code="not_found")
        return SourceError(
            f"{name_of(input_path)} has more than {self.max_bytes:,} bytes; no more "
            "are accepted (NEXUS_VIDEO_MAX_INPUT_BYTES)",
            code="too_large",
        )


def name_of(input_path: str) -> str | None:
    """Return what messages call an input: of a URL, which may be a secret, its host."""
    if is_web(input_path):
        return f"the file from {WebUrl.parse(input_path).host}"
    return input_path if input_path.startswith("s3://") else None
