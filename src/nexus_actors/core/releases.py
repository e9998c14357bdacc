"""Which release this is, and what becomes of what a newer one has written.

While workers are replaced, those of two releases share the queue and the database.  A
message or a row names the release that it was written by; where an older one cannot
read it, it waits for a worker that can, and is not refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from importlib.metadata import version
from typing import Final

from . import clock
from .errors import InvalidRequestError, Postponed, SchemaError, UnknownAdapterError


#: Under which name a message's options, and a publication's request, say it.
NAME: Final = "release"

#: When something that this release cannot read is looked at again.
WAIT: Final = timedelta(seconds=30)


@cache
def release() -> str:
    """Return the release that is installed, such as ``0.1.0``."""
    return version("nexus-actors")


def is_newer(written_by: object) -> bool:
    """Tell whether *written_by* names a release that is newer than this one."""
    return _numbers(written_by) > _numbers(release())


def _numbers(text: object) -> tuple[int, ...]:
    found = re.match(r"(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?", str(text))
    return tuple(int(number or 0) for number in found.groups()) if found else ()


def left(written_by: object) -> Postponed:
    """Return what leaves to a newer release what that has written."""
    return Postponed(
        f"release {_dotted(written_by)} wrote this, and {release()} cannot read it: "
        "it waits for a worker of that release",
        code="newer_release",
        until=clock.now() + WAIT,
    )


def _dotted(written_by: object) -> str:
    return ".".join(map(str, _numbers(written_by)))


@contextmanager
def leaving(written_by: object) -> Iterator[None]:
    """Let what the body refuses wait, if another release may take it.

    That is so of what a newer one wrote, and of all that needs a database whose schema
    is another release's.

    Raises:
        InvalidRequestError: It is refused, and no newer release has written it.
        Postponed: It waits.
        UnknownAdapterError: As the first.
    """
    try:
        yield
    except (InvalidRequestError, UnknownAdapterError) as error:
        if is_newer(written_by):
            raise left(written_by) from error
        raise
    except SchemaError as error:
        until = clock.now() + WAIT
        raise Postponed(error.message, code=error.code, until=until) from error
