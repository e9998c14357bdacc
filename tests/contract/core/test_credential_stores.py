"""Our store and a host's keep the promises; the contract finds out who does not."""

from __future__ import annotations

import pytest

from databases import KINDS, OpenDatabase, make_key, make_url
from host_stores import HostStore
from nexus_actors.core.credentials import CredentialStore, DatabaseCredentialStore
from nexus_actors.core.database import upgrade
from nexus_actors.core.keyring import Keyring, Secret
from nexus_actors.testing.contracts import CredentialStoreContract


class TestDatabaseCredentialStore(CredentialStoreContract):
    @pytest.fixture(params=KINDS)
    def store(
        self, request: pytest.FixtureRequest, open_database: OpenDatabase
    ) -> CredentialStore:
        database = open_database(make_url(request.param, request))
        upgrade(database)
        return DatabaseCredentialStore(database, Keyring(Secret(make_key())))


class TestHostStore(CredentialStoreContract):
    @pytest.fixture
    def store(self) -> CredentialStore:
        return HostStore()


#: A faulty store, and the promises that it breaks.
FAULTY = {
    "LastOneWins": (
        "of_two_refreshes_one_wins",
        "of_many_refreshes_at_once_one_wins",
        "what_was_seen_before_the_account_was_connected_again_is_stale",
    ),
    "KeepsRevoked": ("a_revoked_account_keeps_no_token",),
    "ForgetsPlatforms": (
        "an_unknown_account_is_told_by_name",
        "ids_are_told_apart_letter_by_letter",
    ),
}


@pytest.mark.parametrize("faulty", FAULTY)
def test_a_faulty_store_fails_the_promise_that_it_breaks(
    faulty: str, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(
        f"""
        import pytest
        from host_stores import {faulty}
        from nexus_actors.testing.contracts import CredentialStoreContract

        class TestStore(CredentialStoreContract):
            @pytest.fixture
            def store(self):
                return {faulty}()
        """
    )

    result = pytester.runpytest_inprocess()

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    for promise in FAULTY[faulty]:
        result.stdout.fnmatch_lines([f"FAILED *::TestStore::test_{promise}*"])
    assert result.parseoutcomes()["passed"] > 0


def test_who_forgets_the_fixture_is_told(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from nexus_actors.testing.contracts import CredentialStoreContract

        class TestStore(CredentialStoreContract):
            pass
        """
    )

    result = pytester.runpytest_inprocess()

    result.stdout.fnmatch_lines(["*define the fixture `store`, which returns yours*"])
    assert "passed" not in result.parseoutcomes()
