"""The scripts against a model: no message is ever in no place, or in two."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any, cast

import pytest
import redis
from dramatiq import Message
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from nexus_actors import RedisBroker
from scale import scaled


WORKERS = ("one", "two")
PRIORITIES = (0, 5, 9)
GROUPS = ("", "", "a", "b")
KEYS = ("", "", "k")
HOUR_MS = 3_600_000

#: How many jobs there are in one run: few, so that much happens to each.
MOST = 7

#: Where a job is alive: it holds its key there.
ALIVE = {"scheduled", "waiting", "suspect", "running"}

#: Where a message may be.
Place = tuple[str, ...]


class Queue(RuleBasedStateMachine):
    """Two workers, one queue; *places* and *tries* are what there ought to be.

    *passed* counts, for each priority and group with something waiting, how often each
    other group of the priority was served since it was.
    """

    broker: RedisBroker

    def __init__(self) -> None:
        super().__init__()
        self.client = cast("redis.Redis", self.broker.client)
        self.client.flushall()
        self.now = HOUR_MS
        self.made = 0
        self.places: dict[str, Place] = {}
        self.tries: dict[str, int] = {}
        self.priority: dict[str, int] = {}
        self.asked: set[str] = set()  # those that run and are to end
        self.group: dict[str, str] = {}
        self.key: dict[str, str] = {}
        self.passed: dict[tuple[int, str], Counter[str]] = {}
        self.is_paused = False
        for worker in WORKERS:
            self.run("join", worker, self.now, json.dumps({"queues": ["q"]}))

    jobs = Bundle("jobs")

    def run(self, name: Any, *arguments: Any) -> Any:
        return self.broker.run(name, *arguments)

    def body(self, job: str) -> bytes:
        options = {"redis_message_id": job, "priority": self.priority[job]}
        options |= {"group": self.group[job]} if self.group[job] else {}
        options |= {"dedupe_key": self.key[job]} if self.key[job] else {}
        message: Message[Any] = Message(
            *("q", "a", (), {}, options), message_id=job, message_timestamp=1
        )
        return message.encode()

    def store(self, job: str, due: int | str) -> Any:
        common = (due, "q", 1, "a", self.priority[job], "{}", self.group[job])
        key = self.key[job] and f"a:{self.key[job]}"
        told = (job, self.body(job), 1)
        [stored] = self.run("enqueue", self.now, 100, *common, key, "", "", 1, *told)
        return stored

    def holder(self, key: str) -> bytes | None:
        """Return the job that is alive and has the key."""
        jobs = [job for job in self.places if key and self.key[job] == key]
        alive = [job.encode() for job in jobs if self.places[job][0] in ALIVE]
        assert len(alive) <= 1
        return alive[0] if alive else None

    @precondition(lambda self: self.made < MOST)
    @rule(
        target=jobs,
        priority=st.sampled_from(PRIORITIES),
        group=st.sampled_from(GROUPS),
        key=st.sampled_from(KEYS),
        later=st.booleans(),
    )
    def enqueue(
        self, priority: int, group: str, key: str, *, later: bool
    ) -> str | MultipleResults[str]:
        self.made += 1
        job = f"job-{self.made}"
        self.priority[job], self.group[job], self.key[job] = priority, group, key
        due = self.now + 1_000
        holder = self.holder(key)

        assert self.store(job, due if later else "") == (holder or 1)

        if holder:
            return multiple()
        self.places[job] = ("scheduled", str(due)) if later else ("waiting",)
        return job

    @rule(job=jobs, later=st.booleans())
    def enqueue_again(self, job: str, *, later: bool) -> None:
        """Only what has failed, or was cancelled, is stored again."""
        due = self.now + 1_000
        may = self.places[job][0] in {"dead", "cancelled", "purged"}
        holder = self.holder(self.key[job]) if may else None

        assert self.store(job, due if later else "") == (holder or may)

        if may and not holder:
            self.places[job] = ("scheduled", str(due)) if later else ("waiting",)
            self.tries.pop(job, None)

    @rule(worker=st.sampled_from(WORKERS), count=st.integers(1, 3))
    def fetch(self, worker: str, count: int) -> None:
        answer = self.run("fetch", "some", "q", worker, self.now, 100, worker, count)
        if self.is_paused:
            assert answer == [-1]
            return
        waiting = [job for job, place in self.places.items() if place == ("waiting",)]
        fresh = [job for job in waiting if self.tries.get(job, 0) < 2]
        taken = [key.decode() for key in answer[1::3]]

        assert set(taken) <= set(fresh)
        assert len(taken) == min(count, len(fresh))
        for job, number in zip(taken, answer[3::3], strict=True):
            self.tries[job] = self.tries.get(job, 0) + 1
            assert number == self.tries[job]
            self.places[job] = ("running", worker)
            self.serve(job)
        for job in set(waiting) - set(fresh):  # met on the way, or not
            place = self.found(Reader(self.client))[job]
            met = ("suspect",) if self.tries[job] == 2 else ("dead",)
            assert place in {("waiting",), met}
            if place == ("dead",):
                self.tries.pop(job)
            self.places[job] = place
            self.passed.clear()  # it may have had a turn

    def waiting_groups(self) -> set[tuple[int, str]]:
        waiting = [job for job, place in self.places.items() if place == ("waiting",)]
        return {(self.priority[job], self.group[job]) for job in waiting}

    def serve(self, job: str) -> None:
        """A group is passed by each other one once, and then it is served."""
        priority, group = self.priority[job], self.group[job]
        self.passed.pop((priority, group), None)
        for other in self.waiting_groups() - {(priority, group)}:
            if other[0] == priority:
                counts = self.passed.setdefault(other, Counter())
                counts[group] += 1
        suspicious = any(self.tries.get(j, 0) >= 2 for j in self.places)
        assert suspicious or all(max(c.values()) <= 1 for c in self.passed.values())

    @rule(worker=st.sampled_from(WORKERS), begins=st.booleans())
    def fetch_suspect(self, worker: str, *, begins: bool) -> None:
        what = (worker, self.now, 100, worker)
        answer = self.run("fetch", "reserve", "q", *what, 1)
        suspects = [job for job, place in self.places.items() if place == ("suspect",)]
        if self.is_paused:
            assert answer == [-1]
            return
        assert bool(answer[1:]) == bool(suspects)
        if not suspects:
            return
        job = answer[1].decode()
        self.places[job] = ("running", worker)
        if begins:
            assert self.run("fetch", "begin", "q", *what, job)[3] == 3
            self.tries[job] = 3

    def wait(self, job: str, place: Place = ("waiting",)) -> None:
        """Let a job that ran wait again, unless it was asked to end."""
        self.places[job] = ("cancelled",) if job in self.asked else place
        if job in self.asked:
            self.asked.remove(job)
            self.tries.pop(job, None)

    @rule(job=jobs)
    def cancel(self, job: str) -> None:
        place = self.places[job][0]
        ended = place in {"done", "dead", "cancelled", "purged"}
        answer = "ended" if ended else "asked" if place == "running" else "cancelled"

        assert self.run("cancel", job, self.now, 100, 100, "q") == answer.encode()

        if answer == "cancelled":
            self.places[job] = ("cancelled",)
            self.tries.pop(job, None)
        elif answer == "asked":
            self.asked.add(job)

    @rule(job=jobs, times=st.integers(1, 2), stale=st.booleans())
    def revive(self, job: str, times: int, *, stale: bool) -> None:
        """Let a dead letter wait again; what was read is perhaps another."""
        read = b"another" if stale else self.body(job)
        sha = hashlib.sha1(read, usedforsecurity=False).hexdigest()
        is_free = self.holder(self.key[job]) is None
        may = self.places[job][0] == "dead" and not stale and is_free

        letters = (job, sha, job, self.body(job)) * times
        assert self.run("revive", "q", self.now, 100, *letters) == may

        if may:
            self.places[job] = ("waiting",)

    @rule(job=jobs, kept=st.sampled_from([0, 1, MOST]))
    def purge(self, job: str, kept: int) -> None:
        dead = [job for job, place in self.places.items() if place == ("dead",)]

        named, others = self.run("purge", "q", 0, kept, 1, job)

        assert named == (job in dead)
        left = [other for other in dead if other != job]
        assert others == min(1, max(0, len(left) - kept))
        gone = set(dead) - self.found(Reader(self.client)).keys()
        assert len(gone) == named + others
        self.places |= dict.fromkeys(gone, ("purged",))

    @rule()
    def pause_or_resume(self) -> None:
        self.is_paused = not self.is_paused
        assert self.run("pause", "q", int(self.is_paused)) == 1
        assert self.run("pause", "q", int(self.is_paused)) == 0

    @rule(worker=st.sampled_from(WORKERS))
    def pause_before_a_suspect_begins(self, worker: str) -> None:
        """It goes back to where it was."""
        if not self.is_paused:
            before = dict(self.places)
            self.fetch_suspect(worker, begins=False)
            self.pause_or_resume()
            for job in [job for job in self.places if self.places[job] != before[job]]:
                what = (worker, self.now, 100, worker, job)
                assert self.run("fetch", "begin", "q", *what) == [-1]
                self.places[job] = before[job]

    def runner(self, job: str) -> str | None:
        place = self.places[job]
        return place[1] if place[0] == "running" else None

    def settle(self, outcome: str, worker: str, job: str, due: int | str = "") -> int:
        key = self.key[job] and f"a:{self.key[job]}"
        counted = f"processed:{outcome}:a"
        successor = (0, "", "", counted, job, self.body(job), key, due)
        states = {"ack": "succeeded", "dead": "dead"}
        state = states.get(outcome) or ("queued" if due == "" else "scheduled")
        [done] = self.run(
            *("settle", outcome, "q", worker, job, self.now, 100, *successor),
            *("{}", job, 0, "", "", "state", state),
        )
        return int(done)

    @rule(job=jobs, outcome=st.sampled_from("ads"), stale=st.booleans())
    def end(self, job: str, outcome: str, *, stale: bool) -> None:
        """End a delivery, perhaps one that is not the worker's any more."""
        worker = self.runner(job) or WORKERS[0]
        if stale:
            worker = WORKERS[worker == WORKERS[0]]
        words = {"a": "ack", "d": "dead", "s": "again"}
        is_its = self.runner(job) == worker
        waits = self.places[job][0] in {"waiting", "suspect"}
        counts = is_its or (waits and outcome == "a")

        assert self.settle(words[outcome], worker, job) == counts

        if counts:
            self.tries.pop(job, None)
            if outcome == "s":
                self.wait(job)
            else:
                self.places[job] = ("done",) if outcome == "a" else ("dead",)
                self.asked.discard(job)

    @rule(job=jobs)
    def retry_later(self, job: str) -> None:
        worker = self.runner(job)
        if worker:
            due = self.now + 1_000
            assert self.settle("again", worker, job, due) == 1
            self.tries.pop(job, None)
            self.wait(job, ("scheduled", str(due)))

    @rule(
        job=jobs,
        worker=st.sampled_from(WORKERS),
        counted=st.sampled_from([0, 1, "unsure"]),
    )
    def give_back(self, job: str, worker: str, *, counted: int | str) -> None:
        is_its = self.runner(job) == worker
        returns = is_its and job not in self.asked

        told = (worker, self.now, 100, counted)
        assert self.run("requeue", "q", *told, job) == returns

        if is_its:
            tries = self.tries.get(job, 0)
            self.tries[job] = tries - (tries < 2 if counted == "unsure" else counted)  # type: ignore[operator]
            if self.tries[job] <= 0:
                del self.tries[job]
            self.wait(job)

    @rule(worker=st.sampled_from(WORKERS), later=st.booleans())
    def fail_and_send_again(self, worker: str, *, later: bool) -> None:
        """Fail for good, and be sent once more."""
        for job in list(self.places):
            if self.runner(job) == worker:
                self.end(job, "d", stale=False)
                self.enqueue_again(job, later=later)

    @rule(job=jobs, worker=st.sampled_from(WORKERS))
    def hold(self, job: str, worker: str) -> None:
        waits = self.places[job][0] in {"waiting", "suspect"}
        is_its = self.runner(job) == worker

        held = self.run("hold", worker, "q", job, self.now, self.body(job))
        assert held == (waits or is_its)

        if waits:
            self.places[job] = ("running", worker)

    @rule(worker=st.sampled_from(WORKERS), lives=st.booleans())
    def recover(self, worker: str, *, lives: bool) -> None:
        """Take a worker for dead; it comes back at once."""
        seen = self.now - 1 if lives else self.now
        self.run("beat", worker, self.now)
        theirs = [job for job in self.places if self.runner(job) == worker]

        answer = self.run("recover", worker, str(seen), self.now, 100, 200, "1", "q")

        assert answer == (-1 if lives else len(theirs))
        if lives:
            return
        for job in theirs:
            self.wait(job)
        assert self.run("beat", worker, self.now) == 0
        assert self.run("fetch", "some", "q", worker, self.now, 100, worker, 1) is None
        self.run("join", worker, self.now, "{}")

    @rule(ms=st.sampled_from([0, 500, 2_000]))
    def promote(self, ms: int) -> None:
        self.now += ms
        self.run("promote", self.now, 100, 100, "q")
        for job, place in self.places.items():
            if place[0] == "scheduled" and int(place[1]) <= self.now:
                self.places[job] = ("waiting",)

    @rule(job=jobs, ms=st.sampled_from([None, 0, 5_000]))
    def reschedule(self, job: str, ms: int | None) -> None:
        due = "" if ms is None else self.now + ms
        waits = self.places[job][0] == "scheduled"

        stored = self.client.hget("dramatiq:__schedule__.msgs", job) or b""
        told = (due, 100, stored, stored)
        assert self.run("reschedule", job, self.now, 100, *told) == waits

        if waits:
            kept = ("scheduled", str(due))
            self.places[job] = ("cancelled",) if ms is None else kept

    @rule(worker=st.sampled_from(WORKERS), outcome=st.sampled_from("ads"))
    def work(self, worker: str, outcome: str) -> None:
        """Fetch something and end all that runs."""
        self.fetch(worker, 1)
        for job in list(self.places):
            if self.runner(job) == worker:
                self.end(job, outcome, stale=False)

    @rule(worker=st.sampled_from(WORKERS))
    def crash(self, worker: str) -> None:
        """Fetch something and die of it."""
        self.fetch(worker, 1)
        self.recover(worker, lives=False)

    def found(self, read: Reader) -> dict[str, Place]:
        """Return where each message is, and that it is nowhere else."""
        listed = []
        for priority in PRIORITIES:
            for group in sorted(set(GROUPS)):
                band = "q" if priority == 5 else f"q.p{priority}"
                ids = read.names(f"q.g{priority}:{group}" if group else band)
                assert {(self.priority[i], self.group[i]) for i in ids} <= {
                    (priority, group)
                }
                listed += ids
        running = [(job, w) for w in WORKERS for job in read.names(f"__acks__.{w}.q")]
        suspects, dead = read.names("q.suspects"), read.scored("q.XQ")
        due = read.scored("__schedule__")
        stored = [*listed, *(job for job, _ in running), *suspects]

        assert len(stored) == len(set(stored))
        assert set(stored) == read.hash("q.msgs").keys()
        assert dead.keys() == read.hash("q.XQ.msgs").keys()
        assert dead.keys() == read.hash("q.XQ.meta").keys()
        assert due.keys() == read.hash("__schedule__.msgs").keys()
        assert due == read.scored("__schedule__:q")
        every = [*stored, *dead, *due]
        assert len(every) == len(set(every))
        return {
            **dict.fromkeys(listed, ("waiting",)),
            **{job: ("running", worker) for job, worker in running},
            **dict.fromkeys(suspects, ("suspect",)),
            **dict.fromkeys(dead, ("dead",)),
            **{job: ("scheduled", str(int(at))) for job, at in due.items()},
        }

    @invariant()
    def every_message_is_in_its_place(self) -> None:
        gone = {("done",), ("cancelled",), ("purged",)}
        wanted = {job: place for job, place in self.places.items() if place not in gone}
        read = Reader(self.client)

        assert self.found(read) == wanted

        assert {k: int(n) for k, n in read.hash("q.tries").items()} == self.tries
        assert read.hash("__cancels__").keys() == self.asked
        self.check_records(read)
        self.check_that_all_can_be_found(read)
        self.check_keys(read)

    def check_records(self, read: Reader) -> None:
        """Every job is told where it is."""
        words = {
            "waiting": "queued",
            "suspect": "queued",
            "done": "succeeded",
            "purged": "dead",
        }
        for job, place in self.places.items():
            held_or_moved = place[0] in {"running", "waiting", "suspect"}
            wanted = words.get(place[0], place[0])
            assert read.hash(f"job:{job}")["state"] == wanted or held_or_moved

    def check_that_all_can_be_found(self, read: Reader) -> None:
        """Each list with something in it is among those that are looked at."""
        bands = read.names("q.bands")
        for priority, group in self.waiting_groups():
            if priority != 5 or group:
                assert str(priority) in bands
            if group:
                assert {group, ""} <= read.scored(f"q.ring{priority}").keys()
        assert self.run("sweep", "q", self.now) == 0

    def check_keys(self, read: Reader) -> None:
        """A key is held as long as its job lives."""
        holder = self.holder("k")
        held = read.found.get("q.key:a:k")
        assert held == (holder and b"until:" + holder)

    @invariant()
    def whoever_waits_in_vain_is_forgotten(self) -> None:
        for waiting in self.passed.keys() - self.waiting_groups():
            del self.passed[waiting]


#: Returns all that there is: of each key, its name and content.
EVERYTHING = """
local reading = {
  string = {'get'}, list = {'lrange', 0, -1}, set = {'smembers'}, hash = {'hgetall'},
  zset = {'zrange', 0, -1, 'withscores'}
}
local found = {}
for _, key in ipairs(redis.call('keys', 'dramatiq:*')) do
  local how = reading[redis.call('type', key).ok]
  if how then
    found[#found + 1] = {key, redis.call(how[1], key, unpack(how, 2))}
  end
end
return found
"""


class Reader:
    """What is in Redis at one moment."""

    def __init__(self, client: redis.Redis) -> None:
        answer: Any = client.eval(EVERYTHING, 0)
        self.found = {
            key.decode().removeprefix("dramatiq:"): value for key, value in answer
        }

    def names(self, key: str) -> list[str]:
        return [name.decode() for name in self.found.get(key, ())]

    def hash(self, key: str) -> dict[str, str]:
        names = iter(self.names(key))
        return dict(zip(names, names, strict=True))

    def scored(self, key: str) -> dict[str, float]:
        return {name: float(score) for name, score in self.hash(key).items()}


@pytest.mark.timeout(scaled(180, full=900))
def test_the_scripts_keep_every_message_in_one_place(broker: RedisBroker) -> None:
    class Bound(Queue):
        pass

    Bound.broker = broker
    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=scaled(35, full=1_000),
            stateful_step_count=40,
            deadline=None,
            derandomize=scaled(True, full=False),
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
