"""A small upload platform: takes a video, shows its progress, posts it, reports on it.

Everything of `nexus_actors` blocks, mostly for one round trip to Redis.  FastAPI runs
what is `def` in a thread, where that is fine; what is `async def` hands it over itself,
by `run_in_threadpool`.
"""

from __future__ import annotations

import json
import os
import threading
from asyncio import sleep
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import (
    FileResponse,
    JSONResponse,
    RedirectResponse,
    StreamingResponse,
)
from fastapi.staticfiles import StaticFiles
from library import library

from nexus_actors import (
    AuthorizationError,
    BrokerUnavailable,
    InvalidRequestError,
    events,
    jobs,
)
from nexus_actors.analytics import collect_metrics, generate_report
from nexus_actors.social import Start, begin_login, finish_login, publish_post
from nexus_actors.video import process_video


HERE = Path(__file__).parent
UPLOADS = Path("uploads").absolute()
LARGEST = 2 * 1024**3


def current_user() -> str:
    """Return who asks.  Put your login here."""
    return "ann"


User = Annotated[str, Depends(current_user)]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Follow the events beside the requests."""
    UPLOADS.mkdir(exist_ok=True)
    stop = threading.Event()
    listener = threading.Thread(target=follow, args=[stop])
    listener.start()
    yield
    stop.set()
    await run_in_threadpool(listener.join)


app = FastAPI(lifespan=lifespan)
# in production: a web server's, or a bucket's, business
app.mount("/media", StaticFiles(directory=os.environ["STORAGE_URL"], check_dir=False))


@app.exception_handler(BrokerUnavailable)
def try_again(_request: Request, _error: Exception) -> Response:
    """Redis is away; all that is sent here may be sent again."""
    return JSONResponse({"detail": "try again"}, 503, headers={"Retry-After": "5"})


@app.exception_handler(AuthorizationError)
@app.exception_handler(InvalidRequestError)
def refused(_request: Request, error: Exception) -> Response:
    """A creator has said no at the platform, or what was asked for cannot be right."""
    return JSONResponse({"detail": str(error)}, 400)


@app.get("/")
def page() -> FileResponse:
    """Show the page."""
    return FileResponse(HERE / "index.html")


# --- videos ---------------------------------------------------------------------------


@app.put("/videos/{video_id}", status_code=202)
async def upload(video_id: UUID, title: str, request: Request, user: User) -> Any:
    """Take a file as it comes, and let it be processed; to do so again is safe.

    The browser makes the id, so that an upload whose answer was lost is the same video.
    """
    await run_in_threadpool(claim, str(video_id), title, user)
    path, part = UPLOADS / f"{video_id}", UPLOADS / f"{uuid4()}.part"
    try:
        await receive(request, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return await run_in_threadpool(enqueue, str(video_id), title, path, user)


async def receive(request: Request, path: Path) -> None:
    """Write the body of a request to a file, without holding it in memory."""
    size = 0
    with path.open("wb") as file:
        async for chunk in request.stream():
            size += len(chunk)
            if size > LARGEST:
                raise HTTPException(413)
            await run_in_threadpool(file.write, chunk)


def claim(video_id: str, title: str, user: str) -> None:
    """Note a video before anything is known of it, as this user's."""
    with library() as rows:
        rows.execute(
            "INSERT INTO videos (id, user, title) VALUES (?, ?, ?)"
            " ON CONFLICT (id) DO NOTHING",
            [video_id, user, title],
        )
    find(video_id, user)


def find(video_id: str, user: str) -> dict[str, Any]:
    """Return a video of this user's."""
    with library() as rows:
        query = "SELECT * FROM videos WHERE id = ? AND user = ?"
        found = rows.execute(query, [video_id, user]).fetchone()
    if found is None:
        raise HTTPException(404)
    return dict(found)


def enqueue(video_id: str, title: str, path: Path, user: str) -> dict[str, str]:
    """Send the job; one that is queued or running for this video is not sent twice."""
    message = process_video.send(
        video_id=video_id, input_path=str(path), title=title, user_id=user
    )
    with library() as rows:
        rows.execute(
            "UPDATE videos SET job = ? WHERE id = ?", [message.message_id, video_id]
        )
    return {"id": video_id, "job": message.message_id}


@app.get("/videos/{video_id}")
def video(video_id: UUID, user: User) -> dict[str, Any]:
    """Tell how far a video is, and where it can be watched."""
    row = find(str(video_id), user)
    record = jobs.get(row["job"]) if row["job"] else None
    row["progress"] = record.progress if record else None
    return row


@app.get("/videos/{video_id}/progress")
async def progress(video_id: UUID, user: User) -> StreamingResponse:
    """Tell each change of a video as a server-sent event, until it is ready."""
    state = await run_in_threadpool(video, video_id, user)

    async def changes() -> AsyncIterator[str]:
        nonlocal state
        told = None
        while True:
            if state != told:
                yield f"data: {json.dumps(state)}\n\n"
            if state["state"] != "processing":
                return
            await sleep(0.5)
            told, state = state, await run_in_threadpool(video, video_id, user)

    return StreamingResponse(changes(), media_type="text/event-stream")


# --- accounts and posts ---------------------------------------------------------------


@app.get("/connect/{platform}")
def connect(platform: str, user: User) -> RedirectResponse:
    """Send the creator to the platform, to let us post for them."""
    begun = begin_login(platform)
    with library() as rows:
        rows.execute(
            "INSERT INTO logins VALUES (?, ?, ?, ?)",
            [begun.state, user, platform, json.dumps(asdict(begun))],
        )
    return RedirectResponse(begun.url)


@app.get("/callback")
def connected(state: str, request: Request, user: User) -> RedirectResponse:
    """Take the creator back, with the account that they chose."""
    with library() as rows:
        login = rows.execute(
            "DELETE FROM logins WHERE state = ? AND user = ? RETURNING *", [state, user]
        ).fetchone()
    if login is None:
        raise HTTPException(400, "this login was not begun here")
    begun = Start(**json.loads(login["begun"]))
    for found in finish_login(login["platform"], str(request.url), begun):
        with library() as rows:
            rows.execute(
                "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?)",
                [user, found.platform, found.account],
            )
        # read its figures from now on
        collect_metrics.send(platform=found.platform, account=found.account, watch=True)
    return RedirectResponse("/")


@app.post("/videos/{video_id}/posts/{platform}", status_code=202)
def post(video_id: UUID, platform: str, user: User) -> dict[str, str]:
    """Publish a video on a platform, once however often this is asked for."""
    row = find(str(video_id), user)
    message = publish_post.send(
        platform=platform,
        account=account_of(user, platform),
        content={"video_id": row["id"], "title": row["title"]},
        settings={"privacy": "PUBLIC"},
        idempotency_key=row["id"],
    )
    return {"job": message.message_id}


def account_of(user: str, platform: str) -> str:
    """Return the account that a user has connected."""
    with library() as rows:
        query = "SELECT account FROM accounts WHERE user = ? AND platform = ?"
        found = rows.execute(query, [user, platform]).fetchone()
    if found is None:
        raise HTTPException(409, f"connect an account first: /connect/{platform}")
    return str(found["account"])


# --- reports --------------------------------------------------------------------------


@app.post("/reports/{platform}", status_code=202)
def report(platform: str, user: User) -> dict[str, str]:
    """Have the last week's report of an account made."""
    account = account_of(user, platform)
    message = generate_report.send(platform=platform, account=account, user_id=user)
    return {"job": message.message_id}


@app.get("/reports/{job}")
def show_report(job: str) -> Response:
    """Lead to a report when it is there."""
    record = jobs.get(job)
    if record is None or record.state in {"dead", "cancelled"}:
        raise HTTPException(404)
    if record.result is None:
        return JSONResponse({"state": record.state}, 202, headers={"Retry-After": "1"})
    return RedirectResponse(record.result["url"])


# --- what happens ---------------------------------------------------------------------


def follow(stop: threading.Event) -> None:
    """Note what becomes of videos and posts.

    All processes of this app share the events of their group.  Each is heard at least
    once, also what happened while no process ran.
    """
    while not stop.is_set():
        try:
            for event in events.listen(
                group="tube", since="0", domains=True, wait=lambda: not stop.is_set()
            ):
                note(event)
        except BrokerUnavailable:
            stop.wait(5)  # then the group goes on where it was


def note(event: events.Event) -> None:
    """Write down one event; to do so twice is safe."""
    body = event.body
    with library() as rows:
        if event.name == "video.processed":
            record = jobs.get(event.job)
            outputs = record.result["outputs"] if record else {}
            url = outputs["hls"]["master"]["url"] if outputs else None
            query = "UPDATE videos SET state = 'ready', url = ? WHERE id = ?"
            rows.execute(query, [url, body["video_id"]])
        elif event.name == "video.failed":
            query = "UPDATE videos SET state = ? WHERE id = ?"
            rows.execute(query, [f"failed: {body['code']}", body["video_id"]])
        elif event.name == "social.post_published":
            query = "UPDATE videos SET post_url = ? WHERE id = ?"
            rows.execute(query, [body["url"], body["idempotency_key"]])
