"""The step before the guard: brings what is elsewhere into the job's folder, once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nexus_actors.core.errors import ForbiddenUrlError, RejectedError, ResourceError
from nexus_actors.core.guard import Guard
from nexus_actors.core.urls import WebUrl, is_web

from .errors import DiskFullError, SourceError
from .guard import check_room, disk_full


#: How the file is called in the job's folder.  If it is there, all of it is.
NAME: Final = "fetched"


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Knows the ways to an input; *max_bytes* are the most that it may have."""

    guard: Guard
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
            ForbiddenUrlError: The URL leads to what is not public.
            SourceError: There is no such file for us, or it is too large.
            RemoteUnavailableError: The server does not answer, or not to the end.
            DiskFullError: There is no room for it.
        """
        if not is_web(input_path):
            return input_path
        target = folder / NAME
        if not target.exists():  # an earlier attempt may have brought it
            self._download(input_path, target, check, tell)
        return str(target)

    def _download(
        self,
        url: str,
        target: Path,
        check: Callable[[], None],
        tell: Callable[[float], None],
    ) -> None:
        def hear(received: int, total: int | None) -> None:
            if total and not received:
                check_room(target.parent, total)
            tell(received / total if total else 0)

        try:
            self.guard.download(
                url, target, max_bytes=self.max_bytes, check=check, on_progress=hear
            )
        except (ForbiddenUrlError, DiskFullError):
            raise
        except RejectedError as error:
            raise self._refusal(error, url) from error
        except ResourceError as error:
            raise DiskFullError(disk_full(target.parent.parent)) from error

    def _refusal(self, error: RejectedError, url: str) -> SourceError:
        if error.code == "too_large":
            return SourceError(
                f"{name_of(url)} has more than {self.max_bytes:,} bytes, and no more "
                "are accepted (NEXUS_VIDEO_MAX_INPUT_BYTES)",
                code="too_large",
            )
        return SourceError(
            f"{error.message}; give a URL that this worker can read", code="not_found"
        )


def name_of(input_path: str) -> str | None:
    """Return what messages call an input whose address may be a secret."""
    if not is_web(input_path):
        return None
    return f"the file from {WebUrl.parse(input_path).host}"
