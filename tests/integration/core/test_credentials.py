"""Every promise of a credential store, on ours and on one that a host may supply."""

from __future__ import annotations

import base64
import json
import os
import pickle
from collections import defaultdict
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from typing_extensions import override

from databases import KINDS, OpenDatabase, PostgreSQL, make_url, url_of
from nexus_actors.core.credentials import (
    Account,
    AccountState,
    Credential,
    CredentialStore,
    DatabaseCredentialStore,
    StaleAccountError,
    UnknownAccountError,
)
from nexus_actors.core.database import Database, upgrade
from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.keyring import Keyring, Secret
from scale import scaled
from swarms import ACCOUNTS, RunSwarm, Witness, check_whole, credential_of


NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def make_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def credential(word: str = "one", *, expires_in_days: float = 1) -> Credential:
    return Credential(
        access_token=Secret(f"access-PLANTED-{word}"),
        refresh_token=Secret(f"refresh-PLANTED-{word}"),
        scopes=frozenset({"video.publish", "user.info.basic"}),
        obtained_at=NOW,
        expires_at=NOW + timedelta(days=expires_in_days),
        refresh_expires_at=NOW + timedelta(days=365),
    )


class HostStore(CredentialStore):
    """What a host might write: its own accounts, in its own place."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Account] = {}

    @override
    def get(self, platform: str, account: str) -> Account:
        try:
            return self.kept[platform, account]
        except KeyError:
            raise UnknownAccountError(f"no account {account!r}") from None

    @override
    def put(self, platform: str, account: str, credential: Credential) -> Account:
        old = self.kept.get((platform, account))
        return self._keep(
            Account(
                platform=platform,
                account=account,
                state=AccountState.ACTIVE,
                version=old.version + 1 if old else 1,
                credential=credential,
            )
        )

    @override
    def renew(self, seen: Account, credential: Credential) -> Account:
        return self._change(
            seen,
            replace(
                seen, credential=credential, state=AccountState.ACTIVE, reason=None
            ),
        )

    @override
    def mark(self, seen: Account, state: AccountState, reason: str) -> Account:
        kept = None if state is AccountState.REVOKED else seen.credential
        return self._change(
            seen, replace(seen, state=state, reason=reason, credential=kept)
        )

    @override
    def accounts(
        self,
        *,
        platform: str | None = None,
        state: AccountState | None = None,
        expires_before: datetime | None = None,
    ) -> list[Account]:
        def fits(account: Account) -> bool:
            expires = account.credential.expires_at if account.credential else None
            return (
                platform in {None, account.platform}
                and state in {None, account.state}
                and (not expires_before or bool(expires and expires < expires_before))
            )

        return [a for _, a in sorted(self.kept.items()) if fits(a)]

    def _change(self, seen: Account, changed: Account) -> Account:
        if self.get(seen.platform, seen.account).version != seen.version:
            raise StaleAccountError("it has changed")
        return self._keep(replace(changed, version=seen.version + 1))

    def _keep(self, account: Account) -> Account:
        self.kept[account.platform, account.account] = account
        return account


@pytest.fixture(params=[*KINDS, "a host's"])
def store(
    request: pytest.FixtureRequest, open_database: OpenDatabase
) -> CredentialStore:
    if request.param not in KINDS:
        return HostStore()
    database = open_database(make_url(request.param, request))
    upgrade(database)
    return DatabaseCredentialStore(database, Keyring(Secret(make_key())))


@pytest.fixture
def database_store(database: Database) -> DatabaseCredentialStore:
    return DatabaseCredentialStore(database, Keyring(Secret(make_key())))


def test_a_connected_account_is_found_as_it_was_put(store: CredentialStore) -> None:
    put = store.put("tiktok", "acc-1", credential())

    found = store.get("tiktok", "acc-1")

    assert found == put
    assert found.credential == credential()
    assert (found.state, found.version) == (AccountState.ACTIVE, 1)


def test_a_credential_may_have_neither_a_refresh_token_nor_an_end(
    store: CredentialStore,
) -> None:
    lasting = Credential(access_token=Secret("t"), kind="page", obtained_at=NOW)

    assert store.put("facebook", "page-1", lasting).credential == lasting


def test_an_unknown_account_is_told_by_name(store: CredentialStore) -> None:
    store.put("tiktok", "acc-1", credential())

    with pytest.raises(UnknownAccountError, match="acc-1"):
        store.get("youtube", "acc-1")


def test_of_two_refreshes_one_wins(store: CredentialStore) -> None:
    seen = store.put("tiktok", "acc-1", credential())

    won = store.renew(seen, credential("two"))
    with pytest.raises(StaleAccountError):
        store.renew(seen, credential("three"))

    assert store.get("tiktok", "acc-1") == won
    assert won.version == seen.version + 1


def test_a_failed_refresh_does_not_mark_an_account_that_another_has_renewed(
    store: CredentialStore,
) -> None:
    seen = store.put("tiktok", "acc-1", credential())
    store.renew(seen, credential("two"))

    with pytest.raises(StaleAccountError):
        store.mark(seen, AccountState.NEEDS_REAUTHORIZATION, "invalid_grant")

    assert store.get("tiktok", "acc-1").state is AccountState.ACTIVE


def test_an_account_that_needs_its_owner_keeps_its_tokens_and_is_mended_by_putting_it(
    store: CredentialStore,
) -> None:
    seen = store.put("tiktok", "acc-1", credential())

    marked = store.mark(seen, AccountState.NEEDS_REAUTHORIZATION, "invalid_grant")
    mended = store.put("tiktok", "acc-1", credential("two"))

    assert marked.reason == "invalid_grant"
    assert marked.credential == credential()
    assert (mended.state, mended.reason) == (AccountState.ACTIVE, None)
    assert mended.version > marked.version


def test_a_revoked_account_keeps_no_token(store: CredentialStore) -> None:
    seen = store.put("tiktok", "acc-1", credential())

    store.mark(seen, AccountState.REVOKED, "the user has disconnected it")

    assert store.get("tiktok", "acc-1").credential is None


def test_a_sweep_finds_the_accounts_that_expire(store: CredentialStore) -> None:
    store.put("tiktok", "soon", credential(expires_in_days=1))
    store.put("tiktok", "later", credential(expires_in_days=9))
    store.put("youtube", "soon", credential(expires_in_days=1))
    gone = store.put("tiktok", "gone", credential(expires_in_days=1))
    store.mark(gone, AccountState.NEEDS_REAUTHORIZATION, "invalid_grant")

    found = store.accounts(
        platform="tiktok",
        state=AccountState.ACTIVE,
        expires_before=NOW + timedelta(days=2),
    )

    assert [account.account for account in found] == ["soon"]
    assert len(store.accounts()) == 4


def test_an_account_shows_its_tokens_to_nobody(store: CredentialStore) -> None:
    account = store.put("tiktok", "acc-1", credential())

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
    found = [str(path) for path in files if secret in path.read_bytes()]
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
