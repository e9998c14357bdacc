"""The table of publications, on both kinds of database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from databases import make_key
from nexus_actors.core import clock
from nexus_actors.core.database import Database
from nexus_actors.core.errors import ConfigurationError, Postponed
from nexus_actors.core.keyring import Keyring, Secret
from nexus_actors.core.ledger import ClaimLostError
from nexus_actors.social import Phase, Publication, Publications, State
from nexus_actors.social.errors import UnknownPublicationError
from nexus_actors.social.publications import NOTES


LEASE_S = 30.0
ADDRESS = "https://upload.example/PLANTED-session"


@pytest.fixture
def table(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Publications:
    monkeypatch.setenv(clock.VARIABLE, str(tmp_path / "clock"))
    return Publications(database, Keyring(Secret(make_key())))


def register(table: Publications, key: str = "one", **more: Any) -> Publication:
    request = {"content": {"link": "https://example.com"}, "settings": {}}
    values = {"account": "a", "token": None, "publish_at": None, "job": None} | more
    hold = table.take(
        key=key, platform="youtube", request=request, lease_s=LEASE_S, **values
    )
    hold.release()
    return hold.row


def test_of_many_that_take_a_new_post_all_get_the_same(table: Publications) -> None:
    def take(_: int) -> Publication:
        while True:
            with suppress(Postponed):  # it is another's turn
                return register(table, token="PLANTED")

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(take, range(16)))

    assert len({row.id for row in found}) == 1
    assert table.token(found[0]) == "PLANTED"
    assert "PLANTED" not in repr(found[0])
    assert table.get("one") == table.get(found[0].id)


def test_one_holds_a_publication_until_it_is_released_or_the_lease_is_over(
    table: Publications,
) -> None:
    row = register(table)

    hold = table.hold(row.id, lease_s=LEASE_S)
    until = hold.row.lease_until
    with pytest.raises(Postponed) as refused:
        table.hold(row.id, lease_s=LEASE_S)
    hold.release()
    second = table.hold(row.id, lease_s=LEASE_S)
    clock.move(LEASE_S + 1)
    third = table.hold(row.id, lease_s=LEASE_S)

    assert refused.value.until == until
    assert third.owner not in {hold.owner, second.owner}


def test_who_was_frozen_past_the_lease_writes_nothing_more(table: Publications) -> None:
    frozen = table.hold(register(table).id, lease_s=LEASE_S)
    clock.move(LEASE_S + 1)
    other = table.hold(frozen.row.id, lease_s=LEASE_S)
    other.write(phase=Phase.COMMIT, attempt={"no": 1, "at": "now"}, attempts=1)

    with pytest.raises(ClaimLostError):
        frozen.write(phase=Phase.CONFIRM, attempt=None)
    with pytest.raises(ClaimLostError):
        frozen.renew()
    frozen.release()

    kept = table.get(frozen.row.id)
    assert (kept.phase, kept.attempt) == (Phase.COMMIT, {"no": 1, "at": "now"})
    assert kept.owner == other.owner


def test_a_lease_is_renewed_when_it_is_nearly_over(table: Publications) -> None:
    hold = table.hold(register(table).id, lease_s=LEASE_S)
    first = hold.row.lease_until

    hold.renew()
    early = hold.row.lease_until
    clock.move(LEASE_S * 0.8)
    hold.renew()
    clock.move(LEASE_S * 1.5)

    assert early == first
    with pytest.raises(Postponed):
        table.hold(hold.row.id, lease_s=LEASE_S)


def test_what_authorises_an_upload_is_stored_sealed_and_told_to_nobody(
    table: Publications,
) -> None:
    hold = table.hold(register(table).id, lease_s=LEASE_S)
    hold.write(checkpoint={"session": ADDRESS, "offset": 7})
    hold.release()

    found = table.get(hold.row.id)
    with table.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM nexus_publications").all()

    assert found.checkpoint == {"session": ADDRESS, "offset": 7}
    assert "PLANTED" not in str(rows) + repr(found) + str(found.to_json())
    without = Publications(table.database, None)
    assert without.get(found.id).to_json() == found.to_json()
    with pytest.raises(ConfigurationError, match="NEXUS_SECRET_KEY"):
        without.hold(found.id, lease_s=LEASE_S)


def test_a_sweep_finds_what_is_due_and_nobody_holds(table: Publications) -> None:
    soon = clock.now() + timedelta(hours=1)
    now, later, held, done = (
        register(table, "now"),
        register(table, "later", publish_at=soon),
        register(table, "held"),
        register(table, "done"),
    )
    table.hold(held.id, lease_s=LEASE_S)
    ended = table.hold(done.id, lease_s=LEASE_S)
    ended.write(state=State.PUBLISHED, due_at=None)
    ended.told()
    ended.release()

    first = [row.key for row in table.due()]
    clock.move(3601)
    second = {row.key for row in table.due()}

    assert first == [now.key]
    assert second == {now.key, later.key, held.key}
    assert [r.key for r in table.newest(state=State.PUBLISHED)] == ["done"]


def test_of_many_notes_the_first_and_the_newest_are_kept(table: Publications) -> None:
    hold = table.hold(register(table).id, lease_s=LEASE_S)

    for number in range(NOTES + 9):
        hold.write(notes=hold.note("looked", number=number))

    kept = [note["number"] for note in table.get(hold.row.id).notes]
    assert len(kept) == NOTES
    assert (kept[:5], kept[-1]) == ([0, 1, 2, 3, 4], NOTES + 8)


def test_a_publication_that_is_not_there_is_told_by_name(table: Publications) -> None:
    with pytest.raises(UnknownPublicationError, match="no-such"):
        table.get("no-such")
