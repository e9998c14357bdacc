"""``send``, ``job`` and ``events``: what goes into the queue and what becomes of it."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from nexus_actors.core.errors import NexusError
from nexus_actors.core.logs import configure
from nexus_actors.engine import jobs
from nexus_actors.engine.actor import Actor
from nexus_actors.engine.options import given

from .common import ProgressLine, print_json, queue


#: After how many seconds without a worker `send --wait` says so.
HINT_AFTER_S = 5.0


def find_actor(name: str) -> Actor[..., Any]:
    """Return the actor called *name*, with or without its domain."""
    from nexus_actors.app import actors_of

    known = {actor.actor_name: actor for actor in actors_of()}
    found = [a for full, a in known.items() if name in {full, full.split(".")[1]}]
    if len(found) != 1:
        raise click.UsageError(f"no actor {name!r}; known: {', '.join(sorted(known))}")
    return found[0]


def read_body(text: str) -> dict[str, Any]:
    """Parse a message's body: JSON, or ``@FILE``, or ``@-`` for stdin."""
    if text.startswith("@"):
        try:
            with click.open_file(text[1:], encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise click.UsageError(f"cannot read {text[1:]}: {reason}") from None
    try:
        body = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"--json is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise click.UsageError('--json must be an object, such as {"video_id": …}')
    return body


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


@click.command()
@click.argument("actor")
@click.option("--json", "body", required=True, metavar="JSON|@FILE", help="The body.")
@click.option("--wait", is_flag=True, help="Follow the job and print its result.")
@click.option("--inline", is_flag=True, help="Run it here, without a queue.")
@click.option("--delay", type=click.IntRange(min=0), metavar="MS", help="Run it later.")
@click.option(
    "--priority", type=click.IntRange(0, 9), help="0 is the most urgent, 5 the default."
)
@click.option("--group", metavar="NAME", help="Groups of one priority take turns.")
@click.option(
    "--dedupe-key", metavar="KEY", help="While a job has it, that one is the answer."
)
@click.option(
    "--dedupe-for",
    type=click.IntRange(min=1),
    metavar="MS",
    help="Hold the key for this time, not until the job's end.",
)
def send(
    actor: str,
    body: str,
    *,
    wait: bool,
    inline: bool,
    **options: Any,
) -> int:
    """Enqueue a message for ACTOR, such as process_video."""
    wanted = given(**options)
    if inline and (wait or wanted):
        raise click.UsageError("--inline goes with no other option than --json")
    chosen, fields = find_actor(actor), read_body(body)
    chosen.parse((), fields)
    configure("WARNING", "console")
    if inline:
        return _run_inline(chosen, fields)
    with queue():
        message = chosen.send_with_options(kwargs=fields, **wanted)
        if not wait:
            print_json({"job": message.message_id, "actor": message.actor_name})
            return 0
        return report(message.message_id, _subject(fields))


def _subject(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what names the job's subject, to stand in the report of a failure."""
    video_id = fields.get("video_id", fields.get("videoId"))
    return {"video_id": video_id} if video_id is not None else {}


def _run_inline(actor: Actor[..., Any], fields: dict[str, Any]) -> int:
    line = ProgressLine()
    job = jobs.Job(
        id=f"inline-{time.time_ns()}",
        publish=lambda p: line.show(p.stage, p.fraction, p.eta_s),
    )
    try:
        with jobs.inline(job):
            result = actor(**fields)
    except NexusError as error:
        line.clear()
        print_failure(_subject(fields), jobs.describe_error(error))
        return 1
    line.clear()
    print_json(result)
    return 0


def print_failure(subject: dict[str, Any], error: dict[str, Any]) -> None:
    """Print why a job failed: JSON on stdout, one line on stderr."""
    print_json({**subject, "status": "failed", "error": error})
    click.echo(f"error: {error['message']}", err=True)


def _why_it_waits(queue_name: str) -> str:
    from nexus_actors.engine import queues

    if queues.is_paused(queue_name):
        how = f"nexus-actors queues resume {queue_name}"
        return f"queue {queue_name} is paused; resume it with: {how}"
    return "no worker has taken the job yet; start one with: nexus-actors worker"


def report(job_id: str, subject: dict[str, Any]) -> int:
    """Follow a job to its end and print its result; return the exit code."""
    try:
        return _follow(job_id, subject)
    except KeyboardInterrupt:
        how = f"nexus-actors job {job_id} --wait"
        click.echo(f"\njob {job_id} goes on by itself; follow it with: {how}", err=True)
        raise


def _follow(job_id: str, subject: dict[str, Any]) -> int:
    line = ProgressLine()
    started = time.monotonic()
    hinted = False

    def show(record: jobs.JobRecord) -> None:
        if record.progress and not record.is_final:
            line.show(**record.progress)

    record: jobs.JobRecord | None = None
    while record is None:
        try:
            record = jobs.wait(job_id, on_change=show, timeout_s=HINT_AFTER_S)
        except LookupError:
            line.clear()
            raise NexusError(f"job {job_id} is no longer known", code="gone") from None
        except TimeoutError:
            seen = jobs.get(job_id)
            is_due = not hinted and time.monotonic() - started >= HINT_AFTER_S
            if seen and seen.state == "queued" and is_due:
                hinted = True
                click.echo(_why_it_waits(seen.queue), err=True)
    line.clear()
    if record.state == "succeeded":
        print_json(record.result)
        return 0
    print_failure(subject, record.error or {"message": f"the job is {record.state}"})
    return 1


@click.command()
@click.argument("job_id")
@click.option("--wait", is_flag=True, help="Follow the job and print its result.")
@click.option("--cancel", is_flag=True, help="Do not run it, or not to its end.")
def job(job_id: str, *, wait: bool, cancel: bool) -> int:
    """Show what is known of job JOB_ID, or cancel it."""
    with queue():
        if cancel:
            return _cancel(job_id, wait=wait)
        record = jobs.get(job_id)
        if record is None:
            click.echo(
                f"error: no job {job_id!r} is known; finished jobs are kept for "
                "NEXUS_JOB_TTL_S seconds",
                err=True,
            )
            return 1
        if wait:
            return report(job_id, {"job": job_id})
        print_json(record.to_json())
    return 0


def _cancel(job_id: str, *, wait: bool) -> int:
    """Cancel a job; with *wait*, tell what it has come to."""
    try:
        answer = jobs.cancel(job_id)
        record = jobs.wait(job_id) if wait else None
    except LookupError as error:
        raise NexusError(error.args[0], code="gone") from None
    if answer == "ended":
        click.echo(f"error: job {job_id} had ended before", err=True)
    told = {} if record is None else {"state": record.state}
    print_json({"job": job_id, "cancel": answer, **told})
    return int(answer == "ended" or told.get("state", "cancelled") != "cancelled")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on each line.")
@click.option(
    "--since", default="$", metavar="ID", help="Start after it; 0: the oldest."
)
@click.option("--job", "job_id", help="Only of this job.")
@click.option("--group", help="Share them with others, and go on where it was.")
@click.option("--follow/--no-follow", default=True, help="Go on, or end at the newest.")
def events(
    since: str, job_id: str | None, group: str | None, *, as_json: bool, follow: bool
) -> None:
    """Tell what happens, as it happens."""
    from nexus_actors.engine import events as stream

    with queue():
        for event in stream.listen(since=since, wait=follow, group=group):
            if job_id not in {None, event.job}:
                continue
            if as_json:
                click.echo(json.dumps(event.to_json()))
            else:
                click.echo(describe(event.to_json()))


def describe(event: dict[str, Any]) -> str:
    """Return one line for a person."""
    told = {"id", "at", "event", "job", "actor", "queue"}
    rest = {name: value for name, value in event.items() if name not in told}
    more = "  ".join(f"{name}={json.dumps(value)}" for name, value in rest.items())
    at = str(event["at"])[11:23]
    about = f"{event['job']}  {event.get('actor', '')}"
    return f"{at}  {event['event']:<14} {about}  {more}".rstrip()
