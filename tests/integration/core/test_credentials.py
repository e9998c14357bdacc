"""What our store promises beside the contract: keys, secrecy, and no lost renewal."""

from __future__ import annotations

import json
import pickle
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from databases import PostgreSQL, make_key, url_of
from nexus_actors.core.credentials import AccountState, DatabaseCredentialStore
from nexus_actors.core.database import Database
from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.keyring import Keyring, Secret
from nexus_actors.testing.contracts.credential_store import credential
from scale import scaled
from swarms import ACCOUNTS, RunSwarm, Witness, check_whole, credential_of


@pytest.fixture
def database_store(database: Database) -> DatabaseCredentialStore:
    return DatabaseCredentialStore(database, Keyring(Secret(make_key())))


def test_an_account_shows_its_tokens_to_nobody(
    database_store: DatabaseCredentialStore,
) -> None:
    account = database_store.put("tiktok", "acc-1", credential())

    shown = f"{account} {account!r} {asdict(account)} {[account.credential]}"

    assert "PLANTED" not in shown
    assert "PLANTED" not in json.dumps(asdict(account), default=str)
    with pytest.raises(TypeError):
        pickle.dumps(account)


def test_keys_are_changed_without_disturbing_who_works_with_the_accounts(
    database: Database,
) -> None:
    old, new = Secret(make_key()), Secret(make_key())
    before = DatabaseCredentialStore(database, Keyring(old))
    seen = [before.put("tiktok", f"acc-{n}", credential(str(n))) for n in range(3)]
    before.mark(seen[2], AccountState.REVOKED, "gone")
    both = DatabaseCredentialStore(database, Keyring(new, old))

    assert both.rotate() == 2
    assert both.rotate() == 0

    after = DatabaseCredentialStore(database, Keyring(new))
    assert after.get("tiktok", "acc-0") == seen[0]
    assert after.renew(seen[1], credential("next")).version == 2
    with pytest.raises(ConfigurationError, match="NEXUS_SECRET_KEY"):
        before.get("tiktok", "acc-0")


def test_a_token_that_was_copied_to_another_account_does_not_open(
    database_store: DatabaseCredentialStore,
) -> None:
    for name in ("mine", "yours"):
        database_store.put("tiktok", name, credential(name))
    with database_store.database.begin() as connection:
        connection.execute(
            sa.text(
                "UPDATE nexus_accounts SET sealed = (SELECT sealed FROM nexus_accounts "
                "WHERE account = 'yours') WHERE account = 'mine'"
            )
        )

    with pytest.raises(ConfigurationError, match="belongs elsewhere"):
        database_store.get("tiktok", "mine")


def test_an_error_of_the_database_shows_no_token(
    database_store: DatabaseCredentialStore,
) -> None:
    with database_store.database.begin() as connection:
        connection.execute(sa.text("DROP TABLE nexus_accounts"))

    with pytest.raises(Exception, match="nexus_accounts") as caught:
        database_store.put("tiktok", "acc-1", credential())

    assert "PLANTED" not in repr(caught.getrepr(showlocals=False))
    assert "nexus-sealed" not in str(caught.value)


@pytest.mark.timeout(900)
def test_many_processes_that_die_at_any_moment_lose_no_renewal_and_show_no_token(
    request: pytest.FixtureRequest,
    run_swarm: RunSwarm,
    database: Database,
    tmp_path: Path,
) -> None:
    witness = Witness(str(tmp_path / "witness"))
    keys = [make_key(), make_key()]
    store = DatabaseCredentialStore(database, Keyring(*map(Secret, keys)))
    for number in range(ACCOUNTS):
        name = f"account-{number}"
        store.put("tiktok", name, credential_of(name, version=1))
    processes, kills, renewals = scaled((4, 8, 12), full=(16, 200, 100))

    ended, said = run_swarm(
        *("credentials", url_of(database), witness.path, ",".join(keys), renewals),
        processes=processes,
        kills=kills,
        pause_s=0.4 / processes,
    )

    assert set(ended) <= {0, -9}, said
    won: dict[str, list[int]] = defaultdict(list)
    for line in witness.told():
        if line["did"] == "won":
            won[line["account"]].append(line["version"])
    unheard = 0
    for account in store.accounts():
        check_whole(account)
        versions = won[account.account]
        assert len(versions) == len(set(versions)), "a version was won twice"
        unheard += account.version - 1 - len(versions)
    assert sum(map(len, won.values())) >= processes * renewals
    assert 0 <= unheard <= ended.get(-9, 0), "a renewal was lost"
    secrets = [b"PLANTED-", *(key.strip("=").encode() for key in keys)]
    told_apart = [s for s in secrets if find(s, request, database, said)]
    assert not told_apart
    assert find(b"nexus-sealed-1", request, database, said)  # the scan can find


def content(path: Path) -> bytes:
    """Return what is in a file; PostgreSQL may have deleted it since it was listed."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def find(
    secret: bytes, request: pytest.FixtureRequest, database: Database, said: str
) -> list[str]:
    """Name everything that the database has written, or anybody said, with *secret*."""
    if database.path:
        files = list(database.path.parent.glob("nexus.db*"))
        dumped = b""
    else:
        server: PostgreSQL = request.getfixturevalue("postgresql")
        files = list(server.files())
        dumped = dump(database)
    found = [str(path) for path in files if secret in content(path)]
    found += ["dump"] if secret in dumped else []
    return found + (["stderr"] if secret in said.encode() else [])


def dump(database: Database) -> bytes:
    url = database.engine.url.set(drivername="postgresql")
    where = url.render_as_string(hide_password=False)
    with (
        psycopg.connect(where) as connection,
        connection.cursor().copy("COPY nexus_accounts TO STDOUT") as copy,
    ):
        return b"".join(bytes(part) for part in copy)
