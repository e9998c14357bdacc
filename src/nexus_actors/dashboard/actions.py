"""What forms do: each the same call as the command of its name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import groupby
from typing import Final
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from nexus_actors.core import clock
from nexus_actors.core.errors import InvalidRequestError, NexusError
from nexus_actors.core.logs import get_logger
from nexus_actors.engine import dead_letters, jobs, queues, schedule
from nexus_actors.engine.dead_letters import Selection

from .gate import Visit, visit_of
from .pages import FILTERS, selection_of
from .render import lead_back, page


log = get_logger(__name__)

#: What `jobs.cancel` answers, for people.
CANCELLED: Final = {
    "cancelled": "The job is cancelled and will not run.",
    "asked": "The job runs and was asked to end.",
    "ended": "The job had ended before.",
}


def act(request: Request) -> Response:
    """Do what a form asks for, and lead back to its page."""
    visit = visit_of(request)
    name = visit.first("action")
    if name == "purge" and not visit.first("sure"):
        return page(request, "sure.html", fields=_fields(visit), count=_count(visit))
    try:
        if name not in ACTIONS:
            raise InvalidRequestError(f"There is nothing called {name!r} to do.")
        told = ACTIONS[name](visit)
    except NexusError as error:
        return lead_back(request, error.message, kind="failed")
    except LookupError as error:
        return lead_back(request, str(error.args[0]), kind="failed")
    log.info("dashboard.acted", action=name, told=told)
    return lead_back(request, told)


def _pause(visit: Visit) -> str:
    name = visit.first("queue")
    queues.pause(name)
    return f"Queue {name} is paused: what runs goes on, nothing more begins."


def _resume(visit: Visit) -> str:
    name = visit.first("queue")
    queues.resume(name)
    return f"Queue {name} goes on."


def _cancel(visit: Visit) -> str:
    return CANCELLED[jobs.cancel(visit.first("job"))]


def _unschedule(visit: Visit) -> str:
    _must_wait(done=schedule.cancel(visit.first("job")))
    return "The job is cancelled and will not run."


def _run_now(visit: Visit) -> str:
    _must_wait(done=schedule.move(visit.first("job"), clock.now()))
    return "The job is due now."


def _move(visit: Visit) -> str:
    try:
        due = datetime.fromisoformat(visit.first("due")).replace(tzinfo=UTC)
    except ValueError:
        raise InvalidRequestError("Give a date and a time, in UTC.") from None
    _must_wait(done=schedule.move(visit.first("job"), due))
    return f"The job is to run at {due:%Y-%m-%d %H:%M} UTC."


def _must_wait(*, done: bool) -> None:
    if not done:
        raise InvalidRequestError("The job does not wait for its time any more.")


def _requeue(visit: Visit) -> str:
    done = [dead_letters.requeue(chosen) for chosen in _chosen(visit)]
    left = sum(each.left for each in done)
    told = f"{_letters(sum(each.requeued for each in done))} let run again"
    return f"{told}; {left:,} left as they were." if left else f"{told}."


def _purge(visit: Visit) -> str:
    count = sum(dead_letters.purge(chosen) for chosen in _chosen(visit))
    return f"{_letters(count)} deleted for good."


def _letters(count: int) -> str:
    return "1 dead letter was" if count == 1 else f"{count:,} dead letters were"


def _chosen(visit: Visit) -> list[Selection]:
    """Return which letters are meant: those that are ticked, or all that are shown."""
    if visit.first("scope") == "matching":
        return [selection_of({name: visit.first(name) for name in FILTERS})]
    pairs = sorted(
        tuple(map(unquote, value.split("/", 1)))
        for value in visit.form.get("letter", ())
    )
    if not pairs or any(len(pair) != 2 for pair in pairs):  # noqa: PLR2004 - queue and id
        raise InvalidRequestError("Tick the dead letters that you mean.")
    return [
        Selection(queue=queue, ids=tuple(letter_id for _, letter_id in found))
        for queue, found in groupby(pairs, lambda pair: pair[0])
    ]


def _fields(visit: Visit) -> list[tuple[str, str]]:
    """Return a form's fields, to be sent once more."""
    left_out = {"token", "back", "sure"}
    return [
        (n, v) for n, values in visit.form.items() for v in values if n not in left_out
    ]


def _count(visit: Visit) -> int | None:
    """Return how many are ticked; ``None`` for all that the choices mean."""
    if visit.first("scope") == "matching":
        return None
    return len(visit.form.get("letter", ()))


def _settle(visit: Visit) -> str:
    from nexus_actors.social.control import settle

    outcome = visit.first("outcome")
    if outcome not in {"published", "not"}:
        raise InvalidRequestError("Say whether the post is there.")
    told = settle(
        visit.first("publication"),
        published=outcome == "published",
        remote_id=visit.first("remote_id").strip() or None,
    )
    return f"Noted: the publication is {told['state']}."


def _retry(visit: Visit) -> str:
    from nexus_actors.social.control import retry

    retry(visit.first("publication"))
    return "The publication is tried again."


#: What the forms call what they do.
ACTIONS: Final[dict[str, Callable[[Visit], str]]] = {
    "cancel": _cancel,
    "move": _move,
    "pause": _pause,
    "purge": _purge,
    "requeue": _requeue,
    "resume": _resume,
    "retry": _retry,
    "run-now": _run_now,
    "settle": _settle,
    "unschedule": _unschedule,
}
