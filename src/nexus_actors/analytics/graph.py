"""Meta's Graph API as collectors read it: many things in one call, metrics by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from nexus_actors.core.errors import (
    AuthorizationError,
    NexusError,
    Postponed,
    RejectedError,
    RemoteUnavailableError,
)
from nexus_actors.core.http import Answer
from nexus_actors.platforms.meta import batch, batched, refusal
from nexus_actors.platforms.verdicts import field

from .base import Access
from .metrics import Reading, State, reading_of


#: What an object that is not there, or not ours, is refused with.
GONE: Final = "100/33"

#: What a name that is not taken is refused with, among other things.
NO_SUCH: Final = "100/None"

#: How often what was not answered is asked.
TRIES: Final = 3

#: What is said of one thing: JSON, or why there is none.
Told = Mapping[str, Any] | NexusError


def is_name(error: RejectedError) -> bool:
    """Tell whether a call was refused for the name of a metric."""
    return error.details.get("reason") == NO_SUCH and "metric" in error.message


def is_gone(told: Told) -> bool:
    """Tell whether what was asked for is not there, or not ours."""
    return isinstance(told, NexusError) and told.details.get("reason") == GONE


def read_all(access: Access, paths: Sequence[str]) -> list[Told]:
    """Return what is said of at most `BATCH` things; a refusal stands for itself.

    Raises:
        NexusError: It is not one of them that was refused, but all.
    """
    found: dict[int, Told] = {}
    waiting = list(range(len(paths)))
    for _ in range(TRIES):
        call = batch([paths[at] for at in waiting])
        answers = batched(access.send(call, examine=_examine))
        told = zip(waiting, map(_told, answers), strict=True)
        found |= {at: one for at, one in told if one is not None}
        waiting = [at for at in waiting if _may_pass(found.get(at))]
        if not waiting:
            break
    lost = [at for at in waiting if not is_gone(found.get(at, _LOST))]
    if lost:
        raise RemoteUnavailableError(f"{len(lost)} of {len(paths)} have no answer")
    return [found[at] for at in range(len(paths))]


_LOST: Final = RemoteUnavailableError("not answered")


def _may_pass(told: Told | None) -> bool:
    return told is None or isinstance(told, RemoteUnavailableError)


def _examine(answer: Answer) -> None:
    """Raise what is said of one call of a batch, and is so of all of them."""
    for inner in batched(answer):
        error = None if inner is None else refusal(inner)
        expired = isinstance(error, AuthorizationError) and error.code != REAUTHORIZE
        if error is not None and (expired or isinstance(error, Postponed)):
            error.details["server"] = answer.server
            raise error


#: The code of a permission that is missing: for one thing it may, for another not.
REAUTHORIZE: Final = "needs_reauthorization"


def _told(answer: Answer | None) -> Told | None:
    if answer is None:
        return None
    error = refusal(answer)
    if error is not None:
        return error
    try:
        found: Told = answer.json()
    except NexusError:
        return None
    return found


def insights_of(
    told: Any, names: Mapping[str, tuple[str, int]], asked: Sequence[str]
) -> dict[str, Reading]:
    """Return the lifetime figures of an object; what was not asked is refused.

    What has no figure yet is not there, or has an empty list of values.
    """
    values = {
        str(item.get("name")): field(item, "values", 0, "value")
        for item in field(told, "data") or []
    }
    return {
        name: reading_of(values.get(vendor), factor, State.NOT_YET)
        if vendor in asked
        else State.NOT_SUPPORTED
        for vendor, (name, factor) in names.items()
    }
