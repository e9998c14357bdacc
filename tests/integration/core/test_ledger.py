"""The ledger of calls that cannot be taken back, on both kinds of database."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from databases import url_of
from nexus_actors.core import clock
from nexus_actors.core.database import Database
from nexus_actors.core.errors import Postponed, RejectedError
from nexus_actors.core.ledger import Claim, ClaimLostError, Entry, Ledger, State
from scale import scaled
from swarms import RunSwarm, Witness, dies_calling


LEASE_S = 60.0

#: A lease that is over as soon as it is given.
NO_TIME = 0.0


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database, "publication")


def claim(ledger: Ledger, key: str = "post-1", lease_s: float = LEASE_S) -> Claim:
    taken = ledger.claim(key, lease_s=lease_s)
    assert isinstance(taken, Claim), taken
    return taken


def entry(ledger: Ledger, key: str = "post-1") -> Entry:
    found = ledger.get(key)
    assert found
    return found


def die_calling(ledger: Ledger, key: str = "post-1") -> Claim:
    """Claim and call, then never be heard of again."""
    taken = claim(ledger, key, NO_TIME)
    taken.begin_call({"publish_id": "p1"})
    return taken


def test_a_call_is_claimed_made_and_settled(ledger: Ledger) -> None:
    with claim(ledger) as mine:
        assert entry(ledger).state is State.CLAIMED
        mine.begin_call({"request": 1})
        assert entry(ledger).state is State.CALLING
        mine.settle("published", {"remote_id": "r1"})

    found = ledger.claim("post-1", lease_s=LEASE_S)
    assert isinstance(found, Entry)
    assert (found.state, found.outcome) == (State.SETTLED, "published")
    assert found.evidence == {"request": 1, "remote_id": "r1"}
    assert found.attempt == 1


def test_where_there_is_a_reason_to_claim_nothing_nothing_is_claimed(
    ledger: Ledger,
) -> None:
    reason = ledger.claim("post-1", lease_s=LEASE_S, unless=lambda _: "unwanted")
    before = ledger.get("post-1")
    taken = ledger.claim("post-1", lease_s=LEASE_S, unless=lambda _: None)

    assert (reason, before) == ("unwanted", None)
    assert isinstance(taken, Claim)


def test_what_somebody_holds_is_postponed_until_the_lease_is_over(
    ledger: Ledger,
) -> None:
    mine = claim(ledger)

    with pytest.raises(Postponed) as claimed:
        ledger.claim("post-1", lease_s=LEASE_S)
    mine.begin_call()
    with pytest.raises(Postponed) as calling:
        ledger.claim("post-1", lease_s=LEASE_S)

    ends = clock.now() + timedelta(seconds=LEASE_S)
    for caught in (claimed, calling):
        assert ends - timedelta(seconds=30) < caught.value.until <= ends


def test_a_renewed_lease_ends_later(ledger: Ledger) -> None:
    mine = claim(ledger, lease_s=NO_TIME)
    mine.lease_s = LEASE_S

    mine.renew()

    with pytest.raises(Postponed):
        ledger.claim("post-1", lease_s=LEASE_S)


def test_a_crash_before_the_call_can_be_claimed_again_and_the_dead_may_not_go_on(
    ledger: Ledger,
) -> None:
    dead = claim(ledger, lease_s=NO_TIME)

    mine = claim(ledger)

    assert mine.entry.attempt == 2
    for late in (dead.begin_call, dead.renew, dead.release, lambda: dead.settle("x")):
        with pytest.raises(ClaimLostError):
            late()
    mine.begin_call()
    mine.settle("published")


def test_a_crash_in_the_call_is_unknown_and_is_never_made_again(ledger: Ledger) -> None:
    die_calling(ledger)

    for _ in range(3):
        found = ledger.claim("post-1", lease_s=LEASE_S)
        assert isinstance(found, Entry)
        assert found.state is State.UNKNOWN
        assert found.evidence == {"publish_id": "p1"}


def test_a_sweep_finds_the_calls_whose_owner_died(ledger: Ledger) -> None:
    die_calling(ledger, "dead")
    claim(ledger, "alive").begin_call()
    die_calling(Ledger(ledger.database, "delivery"), "of another")

    assert [found.key for found in ledger.unknown()] == ["dead"]

    assert entry(ledger, "alive").state is State.CALLING


def test_an_unknown_call_is_settled_with_the_evidence_of_who_has_looked(
    ledger: Ledger,
) -> None:
    die_calling(ledger)

    found = ledger.resolve(
        "post-1", "published", by="reconcile", evidence={"remote_id": "r1"}
    )

    assert (found.state, found.outcome) == (State.SETTLED, "published")
    assert found.evidence == {
        "publish_id": "p1",
        "remote_id": "r1",
        "resolved_by": "reconcile",
    }


def test_an_unknown_call_that_has_not_happened_can_be_claimed_again(
    ledger: Ledger,
) -> None:
    die_calling(ledger)

    ledger.reopen("post-1", by="ann@example.com", evidence={"seen": "no such post"})

    mine = claim(ledger)
    assert mine.entry.attempt == 2
    assert mine.entry.evidence["resolved_by"] == "ann@example.com"


def test_only_an_unknown_call_can_be_told_from_outside(ledger: Ledger) -> None:
    claim(ledger, "held").begin_call()
    claim(ledger, "settled").settle("published")

    for key in ("held", "settled", "absent"):
        with pytest.raises(RejectedError, match=key):
            ledger.resolve(key, "published", by="ann", evidence={})
        with pytest.raises(RejectedError, match=key):
            ledger.reopen(key, by="ann", evidence={})


def test_a_late_answer_is_believed_unless_somebody_has_told_before(
    ledger: Ledger,
) -> None:
    late, too_late = die_calling(ledger, "late"), die_calling(ledger, "too late")
    assert len(ledger.unknown()) == 2
    ledger.resolve("too late", "absent", by="reconcile", evidence={})

    late.settle("published", {"remote_id": "r1"})
    with pytest.raises(ClaimLostError):
        too_late.settle("published")

    assert entry(ledger, "late").outcome == "published"
    assert entry(ledger, "too late").outcome == "absent"


def test_a_claim_that_is_left_before_the_call_is_free_at_once(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="no such template"), claim(ledger):
        raise ValueError("no such template")

    assert entry(ledger).state is State.RELEASED
    assert claim(ledger).entry.attempt == 2


@pytest.mark.parametrize("interrupt", [TimeoutError, KeyboardInterrupt, SystemExit])
def test_a_claim_that_is_left_in_the_call_is_unknown_at_once(
    ledger: Ledger, interrupt: type[BaseException]
) -> None:
    def interrupted() -> None:
        with claim(ledger) as mine:
            mine.begin_call()
            raise interrupt

    with pytest.raises(interrupt):
        interrupted()

    assert entry(ledger).state is State.UNKNOWN
    assert entry(ledger).evidence == {"reason": interrupt.__name__}


def test_a_call_that_was_forgotten_to_be_settled_is_unknown(ledger: Ledger) -> None:
    with claim(ledger) as mine:
        mine.begin_call()

    assert entry(ledger).evidence == {"reason": "left without an outcome"}


def test_a_call_that_was_not_accepted_is_given_back(ledger: Ledger) -> None:
    with claim(ledger) as mine:
        mine.begin_call()
        mine.release({"status": 429})

    assert claim(ledger).entry.evidence == {"status": 429}


def test_a_scope_knows_nothing_of_another(ledger: Ledger) -> None:
    claim(ledger)

    assert claim(Ledger(ledger.database, "delivery")).entry.attempt == 1


@pytest.mark.timeout(900)
def test_many_processes_that_die_at_any_moment_never_call_twice_and_lose_nothing(
    run_swarm: RunSwarm, database: Database, tmp_path: Path
) -> None:
    witness = Witness(str(tmp_path / "witness"))
    processes, kills, keys = scaled((4, 12, 150), full=(16, 400, 3000))

    ended, said = run_swarm(
        *("ledger", url_of(database), witness.path, keys),
        processes=processes,
        kills=kills,
        pause_s=0.2 / processes,
    )

    assert set(ended) <= {0, -9}, said
    assert ended[0] >= processes
    ledger = Ledger(database, "swarm")
    entries = {f"key-{n}": entry(ledger, f"key-{n}") for n in range(keys)}
    told: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in witness.told():
        told[line["key"]].append(line)
    for key, found in entries.items():
        check_story(found, told[key])
    unknown = [e for e in entries.values() if e.state is State.UNKNOWN]
    assert {key for key in entries if dies_calling(key)} <= {e.key for e in unknown}
    assert len(unknown) <= ended[-9]
    assert {e.key for e in ledger.unknown(keys)} == {e.key for e in unknown}


def check_story(found: Entry, told: list[dict[str, Any]]) -> None:
    """Hold what the ledger says against what the processes have witnessed."""
    did = {
        word: [line for line in told if line["did"] == word]
        for word in ("claimed", "releases", "called", "settled")
    }
    assert found.state in {State.SETTLED, State.UNKNOWN}
    assert len(did["called"]) <= 1
    if found.state is State.SETTLED:
        assert [line["owner"] for line in did["called"]] == [found.owner]
        assert found.evidence == {"owner": found.owner}
    else:
        assert not did["settled"]
    given_back = {line["owner"] for line in did["releases"]}
    for one, other in zip(did["claimed"], did["claimed"][1:], strict=False):
        over = one["owner"] in given_back or other["at"] >= one["until"] - 0.001
        assert over, f"{found.key} was held by two at once"
