"""The promises of `CredentialStore`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from threading import Barrier
from typing import Final

import pytest

from nexus_actors.core.credentials import (
    Account,
    AccountState,
    Credential,
    CredentialStore,
    StaleAccountError,
    UnknownAccountError,
)
from nexus_actors.core.keyring import Secret


NOW: Final = datetime(2026, 5, 1, 12, tzinfo=UTC)

#: How many try to renew one account at once.
RIVALS: Final = 8


def credential(word: str = "one", *, expires_in_days: float = 1) -> Credential:
    """Return a credential whose tokens can be told by *word*."""
    return Credential(
        access_token=Secret(f"access-PLANTED-{word}"),
        refresh_token=Secret(f"refresh-PLANTED-{word}"),
        scopes=frozenset({"video.publish", "user.info.basic"}),
        obtained_at=NOW,
        expires_at=NOW + timedelta(days=expires_in_days),
        refresh_expires_at=NOW + timedelta(days=365),
    )


class CredentialStoreContract:
    """Inherit, give the fixture `store`, and every promise of a store is tested."""

    @pytest.fixture
    def store(self) -> CredentialStore:
        """Return a store without accounts, another one for each test."""
        raise NotImplementedError("define the fixture `store`, which returns yours")

    def test_a_connected_account_is_found_as_it_was_put(
        self, store: CredentialStore
    ) -> None:
        put = store.put("tiktok", "acc-1", credential())

        found = store.get("tiktok", "acc-1")

        assert found == put
        assert (found.platform, found.account) == ("tiktok", "acc-1")
        assert (found.state, found.reason) == (AccountState.ACTIVE, None)
        assert found.credential == credential()

    def test_a_credential_may_have_neither_a_refresh_token_nor_an_end(
        self, store: CredentialStore
    ) -> None:
        lasting = Credential(access_token=Secret("t"), kind="page", obtained_at=NOW)

        store.put("facebook", "page-1", lasting)

        assert store.get("facebook", "page-1").credential == lasting

    @pytest.mark.parametrize("token", ["x" * 8192, "Ünï-☃-\U0001f511", "a'b\"c\\d\n%s"])
    def test_a_token_may_be_any_text(self, store: CredentialStore, token: str) -> None:
        any_text = Credential(access_token=Secret(token), obtained_at=NOW)

        store.put("tiktok", "acc-1", any_text)

        found = store.get("tiktok", "acc-1").credential
        assert found is not None
        assert found.access_token.get_secret_value() == token

    def test_an_instant_is_the_same_in_every_time_zone(
        self, store: CredentialStore
    ) -> None:
        far = timezone(timedelta(hours=13))
        there = Credential(
            access_token=Secret("t"),
            obtained_at=NOW.astimezone(far),
            expires_at=(NOW + timedelta(milliseconds=1)).astimezone(far),
        )

        store.put("tiktok", "acc-1", there)

        assert store.get("tiktok", "acc-1").credential == there

    def test_ids_are_told_apart_letter_by_letter(self, store: CredentialStore) -> None:
        ids = ["acc", "ACC", "acc ", "a/c", "a%c", "a_c", "äcc", "a:c", "x" * 255]

        for name in ids:
            store.put("tiktok", name, credential(name))
        store.put("youtube", "acc", credential("other"))

        for name in ids:
            assert store.get("tiktok", name).credential == credential(name)
        assert len(store.accounts()) == len(ids) + 1

    def test_an_unknown_account_is_told_by_name(self, store: CredentialStore) -> None:
        store.put("tiktok", "acc-1", credential())

        with pytest.raises(UnknownAccountError, match="acc-1"):
            store.get("youtube", "acc-1")

    def test_of_two_refreshes_one_wins(self, store: CredentialStore) -> None:
        seen = store.put("tiktok", "acc-1", credential())

        won = store.renew(seen, credential("two"))
        with pytest.raises(StaleAccountError) as caught:
            store.renew(seen, credential("three"))

        assert store.get("tiktok", "acc-1") == won
        assert won.credential == credential("two")
        assert won.version > seen.version
        assert "PLANTED" not in str(caught.value)

    def test_of_many_refreshes_at_once_one_wins(self, store: CredentialStore) -> None:
        seen = store.put("tiktok", "acc-1", credential())
        start = Barrier(RIVALS)

        def renew(number: int) -> Account | None:
            start.wait()
            try:
                return store.renew(seen, credential(str(number)))
            except StaleAccountError:
                return None

        with ThreadPoolExecutor(RIVALS) as threads:
            ended = list(threads.map(renew, range(RIVALS)))

        winners = [account for account in ended if account]
        assert winners == [store.get("tiktok", "acc-1")]

    def test_a_failed_refresh_does_not_mark_an_account_that_another_has_renewed(
        self, store: CredentialStore
    ) -> None:
        seen = store.put("tiktok", "acc-1", credential())
        store.renew(seen, credential("two"))

        with pytest.raises(StaleAccountError):
            store.mark(seen, AccountState.NEEDS_REAUTHORIZATION, "invalid_grant")

        assert store.get("tiktok", "acc-1").state is AccountState.ACTIVE

    def test_what_was_seen_before_the_account_was_connected_again_is_stale(
        self, store: CredentialStore
    ) -> None:
        seen = store.put("tiktok", "acc-1", credential())
        again = store.put("tiktok", "acc-1", credential("two"))

        with pytest.raises(StaleAccountError):
            store.renew(seen, credential("three"))

        assert store.get("tiktok", "acc-1") == again
        assert again.version > seen.version

    def test_an_account_that_needs_its_owner_keeps_its_tokens_and_is_mended_by_putting(
        self, store: CredentialStore
    ) -> None:
        seen = store.put("tiktok", "acc-1", credential())

        marked = store.mark(seen, AccountState.NEEDS_REAUTHORIZATION, "invalid_grant")
        mended = store.put("tiktok", "acc-1", credential("two"))

        assert marked.state is AccountState.NEEDS_REAUTHORIZATION
        assert marked.reason == "invalid_grant"
        assert marked.credential == credential()
        assert (mended.state, mended.reason) == (AccountState.ACTIVE, None)
        assert mended.version > marked.version > seen.version

    def test_a_renewed_account_is_active_again(self, store: CredentialStore) -> None:
        seen = store.put("tiktok", "acc-1", credential())
        marked = store.mark(seen, AccountState.NEEDS_REAUTHORIZATION, "invalid_grant")

        store.renew(marked, credential("two"))

        found = store.get("tiktok", "acc-1")
        assert (found.state, found.reason) == (AccountState.ACTIVE, None)

    def test_a_revoked_account_keeps_no_token(self, store: CredentialStore) -> None:
        seen = store.put("tiktok", "acc-1", credential())

        told = store.mark(seen, AccountState.REVOKED, "the user has disconnected it")

        found = store.get("tiktok", "acc-1")
        assert found == told
        assert (found.state, found.credential) == (AccountState.REVOKED, None)

    def test_a_sweep_finds_the_accounts_that_expire(
        self, store: CredentialStore
    ) -> None:
        store.put("tiktok", "soon", credential(expires_in_days=1))
        store.put("tiktok", "later", credential(expires_in_days=9))
        store.put("youtube", "soon", credential(expires_in_days=1))
        lasting = Credential(access_token=Secret("t"), obtained_at=NOW)
        store.put("tiktok", "lasting", lasting)
        lost = store.put("tiktok", "lost", credential(expires_in_days=1))
        store.mark(lost, AccountState.NEEDS_REAUTHORIZATION, "invalid_grant")

        found = store.accounts(
            platform="tiktok",
            state=AccountState.ACTIVE,
            expires_before=NOW + timedelta(days=2),
        )

        assert found == [store.get("tiktok", "soon")]

    def test_each_of_the_conditions_can_stand_alone(
        self, store: CredentialStore
    ) -> None:
        store.put("youtube", "b", credential(expires_in_days=9))
        gone = store.put("tiktok", "c", credential())
        store.mark(gone, AccountState.REVOKED, "gone")
        store.put("tiktok", "a", credential())

        def names(found: list[Account]) -> list[str]:
            return [f"{account.platform}/{account.account}" for account in found]

        assert names(store.accounts()) == ["tiktok/a", "tiktok/c", "youtube/b"]
        assert names(store.accounts(platform="youtube")) == ["youtube/b"]
        assert names(store.accounts(state=AccountState.REVOKED)) == ["tiktok/c"]
        soon = store.accounts(expires_before=NOW + timedelta(days=2))
        assert names(soon) == ["tiktok/a"]  # a revoked account has no token to expire
