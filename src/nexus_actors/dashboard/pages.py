"""The pages: what is asked of the engine for each, and which template shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from nexus_actors.app import actors_of
from nexus_actors.core import clock
from nexus_actors.core.errors import NexusError
from nexus_actors.engine import dead_letters, events, jobs, queues, schedule, workers
from nexus_actors.engine.connection import describe
from nexus_actors.engine.excerpts import excerpt
from nexus_actors.engine.queues import Load

from .rates import Meter, tally
from .render import page, root
from .words import path as url_part


if TYPE_CHECKING:
    from nexus_actors.engine.events import Event
    from nexus_actors.engine.jobs import JobRecord
    from nexus_actors.social.desk import Desk


#: How many lines a list shows at a time.
LINES: Final = 50

#: How many publications a page shows at most.
MOST_PUBLICATIONS: Final = 1_000

#: The ends of runs that the page of jobs tells of.
ENDS: Final = ("job.succeeded", "job.dead", "job.cancelled", "job.retrying")

#: From when on dead letters are shown, by how many hours ago.
AGES: Final = {"1": "last hour", "24": "last 24 hours", "168": "last 7 days"}


@dataclass(frozen=True, slots=True)
class Sum:
    """What all queues have together."""

    waiting: int
    running: int
    scheduled: int
    dead: int

    @classmethod
    def of(cls, loads: Iterable[Load]) -> Sum:
        """Add up."""
        found = list(loads)
        return cls(
            waiting=sum(load.waiting for load in found),
            running=sum(load.running for load in found),
            scheduled=sum(load.scheduled for load in found),
            dead=sum(load.dead for load in found),
        )


class Pages:
    """What is shown.  Every method answers one request, in a thread."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def _show(
        self,
        request: Request,
        template: str,
        *,
        loads: list[Load] | None = None,
        **context: Any,
    ) -> Response:
        """Return a page, with what stands on each of them."""
        loads = self._look() if loads is None else loads
        broker = jobs.keeper()
        return page(
            request,
            template,
            loads=loads,
            total=Sum.of(loads),
            server=describe(broker.client),
            namespace=broker.namespace,
            **context,
        )

    def _look(self) -> list[Load]:
        loads = queues.overview()
        self.meter.note(loads)
        return loads

    def queues(self, request: Request) -> Response:
        """Show what is where, and how fast it moves."""
        loads, found = self._look(), workers.state()
        return self._show(
            request,
            "queues.html",
            loads=loads,
            rates={load.name: self.meter.rates(load.name) for load in loads},
            trends={load.name: self.meter.waiting(load.name) for load in loads},
            worries=_worries(loads, found),
            processes=[worker for worker in found if worker.is_alive],
        )

    def queue(self, request: Request) -> Response:
        """Show one queue: its actors, and who is next."""
        name, offset = request.path_params["name"], _offset(request)
        loads = self._look()
        load = next((load for load in loads if load.name == name), None)
        if load is None:
            raise HTTPException(404, f"There is no queue {name}.")
        names = sorted({count.actor for count in load.counts})
        return self._show(
            request,
            "queue.html",
            loads=loads,
            load=load,
            rates=self.meter.rates(name),
            trend=self.meter.waiting(name),
            actors=[(a, _totals(load, a), self.meter.rates(name, a)) for a in names],
            offset=offset,
            step=LINES,
            waiting=queues.waiting(name, limit=LINES + 1, offset=offset),
        )

    def jobs(self, request: Request) -> Response:
        """Show what runs, and what has just ended; or the jobs that are looked for."""
        wanted = request.query_params.get("find", "").strip()
        found = _find(wanted) if wanted else None
        if found and len(found) == 1:
            where = f"{root(request)}/jobs/{url_part(found[0].id)}"
            return RedirectResponse(where, 303)
        return self._show(
            request,
            "jobs.html",
            wanted=wanted,
            found=found,
            running=workers.running(),
            ended=[] if wanted else events.latest(LINES, names=ENDS),
        )

    def job(self, request: Request) -> Response:
        """Show all that is known of a job."""
        job_id = request.path_params["id"]
        record, stored = jobs.get(job_id), jobs.stored(job_id)
        if record is None and stored is None:
            raise HTTPException(
                404, f"No job {job_id} is known; finished jobs are kept for a while."
            )
        letter = None
        if record is None or record.state == "dead":
            chosen = dead_letters.Selection(ids=(job_id,), registered=True)
            letter = next(iter(dead_letters.find(chosen, limit=1)), None)
        sent = record.enqueued_at if record else None
        arguments = letter.arguments if letter else stored and stored.arguments
        return self._show(
            request,
            "job.html",
            id=job_id,
            record=record,
            stored=stored,
            letter=letter,
            due=schedule.get(job_id),
            arguments=arguments,
            error=excerpt((record and record.error) or (letter and letter.error)),
            result=excerpt(record.result) if record else None,
            timeline=timeline(events.history(job_id, since=sent), record),
        )

    def dead(self, request: Request) -> Response:
        """Show dead letters, the newest first."""
        query = request.query_params
        loads = self._look()
        selection = selection_of(query)
        found = dead_letters.find(
            selection, limit=LINES + 1, after=query.get("after") or None
        )
        return self._show(
            request,
            "dead.html",
            loads=loads,
            letters=found[:LINES],
            more=found[LINES - 1].cursor if len(found) > LINES else None,
            chosen={name: query.get(name, "") for name in FILTERS},
            is_filtered=any(query.get(name) for name in FILTERS),
            actors=sorted({c.actor for load in loads for c in load.counts}),
            reasons=sorted({letter.reason for letter in found}),
            ages=AGES,
        )

    def letter(self, request: Request) -> Response:
        """Show one dead letter, with its traceback."""
        query = request.query_params
        letter = dead_letters.get(query.get("id", ""), queue=query.get("queue", ""))
        if letter is None:
            raise HTTPException(404, "This dead letter is not there any more.")
        return self._show(
            request, "letter.html", letter=letter, error=excerpt(letter.error)
        )

    def schedule(self, request: Request) -> Response:
        """Show what is to run later."""
        offset = _offset(request)
        found = schedule.upcoming(LINES + 1, offset=offset)
        return self._show(
            request, "schedule.html", upcoming=found, offset=offset, step=LINES
        )

    def workers(self, request: Request) -> Response:
        """Show who works."""
        return self._show(request, "workers.html", workers=workers.state())

    def publications(self, request: Request) -> Response:
        """Show what has become of posts, those first that wait for a person."""
        query = request.query_params
        chosen = {
            name: query.get(name, "") for name in ("state", "platform", "account")
        }
        limit = min(_number(query, "limit", LINES), MOST_PUBLICATIONS)
        desk, problem = _open_desk()
        rows, unconfirmed, states = [], [], []
        if desk:
            from nexus_actors.social.row import State

            states = list(State)
            wanted: Any = {name: value or None for name, value in chosen.items()}
            if wanted["state"] not in {None, *states}:
                raise HTTPException(400, f"There is no state {wanted['state']}.")
            rows = desk.table.newest(**wanted, limit=limit + 1)
            unconfirmed = desk.table.newest(state=State.UNCONFIRMED, limit=LINES)
        return self._show(
            request,
            "publications.html",
            rows=rows[:limit],
            more=limit * 2 if len(rows) > limit and limit < MOST_PUBLICATIONS else None,
            unconfirmed=[] if chosen["state"] else unconfirmed,
            states=states,
            chosen=chosen,
            problem=problem,
        )

    def publication(self, request: Request) -> Response:
        """Show all that is known of one post."""
        desk, problem = _open_desk()
        if desk is None:
            raise HTTPException(503, problem)
        from nexus_actors.social.row import TOLD

        row = desk.table.get(request.path_params["id"])
        return self._show(
            request,
            "publication.html",
            row=row,
            content=excerpt(row.request.get("content")),
            error=excerpt(row.error),
            notes=[excerpt(note) for note in row.notes],
            steps=excerpt({n: s for n, s in row.steps.items() if n != TOLD}),
        )


#: What dead letters are chosen by.
FILTERS: Final = ("queue", "actor", "reason", "error", "hours")


def selection_of(query: Mapping[str, str]) -> dead_letters.Selection:
    """Return the dead letters that the choices of a page, or a form of it, mean."""
    hours = query.get("hours", "")
    since = None
    if hours.isdecimal():
        since = clock.now() - timedelta(hours=min(int(hours), 24 * 3650))
    return dead_letters.Selection(
        queue=query.get("queue") or None,
        actor=query.get("actor") or None,
        reason=query.get("reason") or None,
        error=query.get("error") or None,
        since=since,
        registered=True,
    )


@dataclass(frozen=True, slots=True)
class Step:
    """A line of a job's timeline."""

    at: datetime
    what: str
    details: str = ""


def timeline(told: list[Event], record: JobRecord | None) -> list[Step]:
    """Return what happened to a job, the oldest first; of progress, the stages."""
    steps: list[Step] = []
    stage = None
    for event in told:
        if event.name == "job.progress" and event.body.get("stage") == stage:
            continue
        stage = event.body.get("stage") if event.name == "job.progress" else None
        steps.append(Step(event.at, event.name.removeprefix("job."), _details(event)))
    if not steps and record:  # the stream has forgotten it
        known = {"enqueued": record.enqueued_at, "started": record.started_at}
        known |= {record.state: record.finished_at}
        steps = [Step(at, what) for what, at in known.items() if at]
    return steps


def _details(event: Event) -> str:
    body = event.body
    if event.name == "job.progress":
        return str(body.get("stage", ""))
    if event.name == "job.started":
        return f"attempt {body.get('attempt', 1)}"
    error = excerpt(body.get("error")) or {}
    told = error.get("message") if isinstance(error, dict) else None
    return str(told or "")


def _totals(load: Load, actor: str) -> dict[str, int]:
    """Return what has happened to an actor's messages since there are counts."""
    kinds = {
        kind: sum(
            number
            for count, number in load.counts.items()
            if (count.kind, count.actor) == (kind, actor)
        )
        for kind in ("retried", "dead")
    }
    return {**tally(load.counts, actor), **kinds}


def _worries(loads: list[Load], found: list[workers.Worker]) -> list[str]:
    """Return what somebody should look after, each in a sentence."""
    told = [
        f"Queue {load.name} is paused; {load.waiting:,} waiting."
        for load in loads
        if load.paused
    ]
    told += [
        f"No worker takes from {load.name}; {load.waiting:,} waiting."
        for load in loads
        if load.waiting and not load.workers and not load.running and not load.paused
    ]
    told += [
        f"Worker {worker.name} has given no sign of life for longer than it may."
        for worker in found
        if not worker.is_alive
    ]
    return told


def _find(wanted: str) -> list[JobRecord]:
    """Return the jobs of this id, or that a host calls so: ``video_id=v``, or ``v``."""
    record = jobs.get(wanted)
    if record:
        return [record]
    name, is_named, value = wanted.partition("=")
    pairs = [(name.strip(), value.strip())] if is_named else []
    pairs += [(known, wanted) for known in sorted(_find_by())]
    found: dict[str, JobRecord] = {}
    for known, value in pairs:
        if known.isidentifier() and known != "broker":
            found_by: dict[str, Any] = {known: value}
            found |= {job.id: job for job in jobs.find(**found_by)}
    return list(found.values())


def _find_by() -> set[str]:
    """Return the names by which actors let their jobs be found."""
    actors = [*actors_of(), *jobs.keeper().actors.values()]
    found = [actor.options.get("find_by") or () for actor in actors]
    return {str(name) for names in found if not callable(names) for name in names}


def _open_desk() -> tuple[Desk | None, str]:
    """Return what knows of publications, or why nothing does."""
    try:
        from nexus_actors.social.desk import Desk

        return Desk.open(), ""
    except NexusError as error:
        return None, error.message
    except ModuleNotFoundError:
        return None, 'Publications need: pip install "nexus-actors[social]"'


def _offset(request: Request) -> int:
    return _number(request.query_params, "offset", 0)


def _number(query: Mapping[str, str], name: str, usual: int) -> int:
    text = query.get(name, "")
    return min(int(text), 1 << 40) if text.isdecimal() and len(text) < 16 else usual  # noqa: PLR2004 - no list is longer
