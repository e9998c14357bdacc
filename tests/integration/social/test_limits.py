"""Platforms are not asked more than they allow, and left alone when they are down."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from conftest import StartWorker, until
from databases import OpenDatabase, make_url
from nexus_actors import RedisBroker, jobs, setup
from nexus_actors.core import clock
from nexus_actors.core.credentials import Credential
from nexus_actors.core.database import upgrade
from nexus_actors.core.keyring import Secret
from nexus_actors.sandbox import Sandbox, running
from nexus_actors.sandbox.vendors.facebook import Facebook
from nexus_actors.social import publish_post
from nexus_actors.social.desk import Desk
from nexus_actors.testing.sandbox import SandboxClient
from publishing import Place
from queues import working
from scale import scaled


#: Of the worker at full scale.
PROCESSES = ("-p2", "-t8")

#: What the platform of these tests allows each Page: so many calls in 3 seconds.
CALLS, WINDOW_S = 6, 3


@pytest.fixture(autouse=True)
def place(
    nexus_sandbox: SandboxClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Place:
    """A place of our own at a sandbox that knows no Pages yet."""
    found = Place(tmp_path)
    for name, value in found.environ(nexus_sandbox.url, {}).items():
        monkeypatch.setenv(name, value)
    found.empty()
    return found


def open_pages(sandbox: SandboxClient, count: int, **settings: Any) -> list[str]:
    """Make Pages, and accounts of theirs; return their ids."""
    ids = [str(110_000_000_000_001 + n) for n in range(count)]
    # others' tokens: whose they are is asked once in a process
    tokens = {id_: f"EAA-{id_}-{uuid4()}" for id_ in ids}
    pages = [{"id": i, "name": i, "access_token": t} for i, t in tokens.items()]
    people = [{"pages": ids}]
    sandbox.settings(facebook={"pages": pages, "people": people, **settings})
    store = Desk.open().accounts().store
    for id_ in ids:
        token = Credential(access_token=Secret(tokens[id_]), obtained_at=clock.now())
        store.put("facebook", id_, token)
    return ids


def send(page: str, number: int, **more: Any) -> str:
    """Send a post of that Page; return the job's id."""
    who = {"account": page} | more
    text = {"title": f"Text {number}"}
    body = {"platform": "facebook", "content": text, **who}
    # how often one fails before a circuit opens is chance
    return publish_post.send_with_options(kwargs=body, max_retries=20).message_id


def posts_of(sandbox: SandboxClient) -> list[str]:
    """Return whose posts there are, in the order in which they were made."""
    return [effect["details"]["page"] for effect in sandbox.truth()["facebook"]]


@pytest.mark.timeout(scaled(180, full=1700))
def test_no_platform_is_asked_more_than_it_allows_and_no_account_is_starved(
    broker: RedisBroker,
    start_worker: StartWorker,
    request: pytest.FixtureRequest,
    open_database: OpenDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accounts, each = scaled((4, 4), full=(50, 200))
    log, kind = tmp_path / "requests.jsonl", scaled("sqlite", full="postgresql")
    monkeypatch.setenv("DATABASE_URL", make_url(kind, request))
    upgrade(open_database(os.environ["DATABASE_URL"]))
    with running(Sandbox(vendors=[Facebook], log_file=log)) as url:
        sandbox = SandboxClient(url)
        # its answers tell how much is used, too
        allowed = {"calls_per_hour": CALLS + 1, "hour_s": WINDOW_S, "regain_minutes": 0}
        pages = open_pages(sandbox, accounts, **allowed)
        limit = {"name": "all", "limit": CALLS, "window_s": WINDOW_S}
        given = {
            "NEXUS_SANDBOX_URL": url,
            "NEXUS_CLOCK_FILE": "",
            "DATABASE_URL": os.environ["DATABASE_URL"],
            "NEXUS_PLATFORM_LIMITS": json.dumps({"facebook": [limit]}),
        }

        for name, value in given.items():
            monkeypatch.setenv(name, value)
        sent = [send(page, number) for number in range(each) for page in pages]
        begun = time.monotonic()
        with ExitStack() as stack:
            if scaled(False, full=True):
                start_worker("nexus_actors.worker:social", *PROCESSES, **given)
            else:
                setup(broker=broker, domains=["social"])
                stack.enter_context(working(broker, threads=8))
            until(
                lambda: broker.do_qsize("social-publishing") == 0,
                scaled(150, full=1500),
            )
        made = posts_of(sandbox)
        took = time.monotonic() - begun
        sandbox.close()

    sys.stdout.write(f"{len(sent)} posts of {accounts} accounts in {took:.0f} s\n")
    assert Counter(made) == dict.fromkeys(pages, each)
    asked = [json.loads(line) for line in log.read_text().splitlines()]
    refused = Counter(
        request["headers"]["authorization"]
        for request in asked
        if request["status"] >= HTTPStatus.BAD_REQUEST
    )
    # once for the id of each; where a post is seen, it may ask later, if many wait
    ids = sum(request["path"].partition("?")[0].endswith("/me") for request in asked)
    assert accounts <= ids <= accounts * scaled(8, full=2 * 8)
    assert len(asked) - refused.total() - ids <= 2 * len(sent)
    assert all(count == 1 for count in refused.values()), refused
    assert len(refused) <= accounts // 4  # and that only where this machine stumbles
    half = Counter(made[: len(made) // 2])
    assert min(half[page] for page in pages) >= each // 4
    records = [jobs.get(id_, broker=broker) for id_ in sent]
    assert {record.attempt for record in records if record} == {1}


@pytest.fixture
def social(broker: RedisBroker) -> Iterator[RedisBroker]:
    """A worker in this process."""
    setup(broker=broker, domains=["social"])
    with working(broker, threads=4):
        yield broker


def states(broker: RedisBroker, ids: list[str]) -> Counter[str]:
    """Return how many of the jobs are in which state."""
    records = [jobs.get(id_, broker=broker) for id_ in ids]
    return Counter(record.state for record in records if record)


def all_succeed(broker: RedisBroker, ids: list[str], *, from_s: float) -> None:
    """Let time pass quickly until all of the jobs are done."""
    passed = count(round(from_s), 2)

    def look() -> bool:
        clock.move(next(passed))
        return states(broker, ids) == {"succeeded": len(ids)}

    until(look)


def test_a_platform_that_is_down_is_left_alone_until_one_call_goes_well(
    nexus_sandbox: SandboxClient, social: RedisBroker
) -> None:
    pages = open_pages(nexus_sandbox, 6)
    nexus_sandbox.faults({"action": "answer", "status": 503, "times": None})

    first = [send(page, 1) for page in pages[:3]]
    until(lambda: states(social, first) == {"scheduled": 3})
    asked = len(nexus_sandbox.requests())
    later = [send(page, 1) for page in pages[3:]]
    until(lambda: states(social, later) == {"scheduled": 3})

    assert len(nexus_sandbox.requests()) == asked
    clock.move(65)  # all come again, and one is let through
    until(lambda: len(nexus_sandbox.requests()) > asked)
    until(lambda: states(social, first + later) == {"scheduled": 6})
    tried = [r["headers"]["authorization"] for r in nexus_sandbox.requests()[asked:]]
    assert len(set(tried)) == 1
    nexus_sandbox.faults()
    all_succeed(social, first + later, from_s=200)
    waited = [record.attempt for id_ in later if (record := jobs.get(id_))]
    assert sorted(waited)[:2] == [1, 1]  # the third may have been the one


def test_what_is_wrong_with_an_account_or_the_app_stops_these_alone(
    nexus_sandbox: SandboxClient, social: RedisBroker
) -> None:
    good, other = open_pages(nexus_sandbox, 2)
    bad = {"account": None, "credentials": {"access_token": "EAA-bad"}}

    wrong = [send("", number, **bad) for number in range(3)]
    until(lambda: states(social, wrong) == {"dead": 3})
    asked = len(nexus_sandbox.requests())
    more = [send("", number, **bad) for number in range(3, 6)]
    until(lambda: states(social, more) == {"scheduled": 3})
    assert len(nexus_sandbox.requests()) == asked
    fine = send(good, 1)
    until(lambda: states(social, [fine]) == {"succeeded": 1})

    told = {"error": {"code": 4, "message": "(#4) Application request limit reached"}}
    limited = {"action": "answer", "status": 403, "body": told, "route": "POST */feed"}
    nexus_sandbox.faults(limited)
    waits = [send(good, 2)]
    until(lambda: states(social, waits) == {"scheduled": 1})
    asked = len(nexus_sandbox.requests())
    waits.append(send(other, 1))
    until(lambda: states(social, waits) == {"scheduled": 2})
    assert len(nexus_sandbox.requests()) == asked
    all_succeed(social, waits, from_s=100)


def test_the_usage_that_answers_tell_of_slows_calls_down_and_stops_them(
    nexus_sandbox: SandboxClient, social: RedisBroker
) -> None:
    [page] = open_pages(nexus_sandbox, 1, usage_percent=90)

    slow = send(page, 1)
    until(lambda: states(social, [slow]) == {"scheduled": 1})
    paced = len(nexus_sandbox.requests())
    nexus_sandbox.settings(facebook={"usage_percent": 96})
    all_succeed(social, [slow], from_s=45)  # a sweep may work at it meanwhile
    other = send(page, 2)
    until(lambda: states(social, [other]) == {"scheduled": 1})
    stopped = len(nexus_sandbox.requests())
    clock.move(3500)
    until(lambda: states(social, [other]) == {"scheduled": 1})
    still = len(nexus_sandbox.requests())
    nexus_sandbox.settings(facebook={"usage_percent": None})
    all_succeed(social, [other], from_s=3700)

    assert (paced, stopped, still) == (2, 3, 3)
