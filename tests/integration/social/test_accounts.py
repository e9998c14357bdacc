"""Accounts: connected by their owners, renewed by one worker at a time."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

import publishing
from conftest import until
from databases import OpenDatabase, PostgreSQL, make_key, url_of
from nexus_actors.core.credentials import (
    Account,
    AccountState,
    DatabaseCredentialStore,
)
from nexus_actors.core.database import Database, upgrade
from nexus_actors.core.errors import (
    AuthorizationError,
    ConfigurationError,
    NexusError,
    Postponed,
    RemoteUnavailableError,
)
from nexus_actors.core.keyring import Keyring, Secret
from nexus_actors.core.settings import CoreSettings
from nexus_actors.platforms.logins import LOGINS
from nexus_actors.platforms.settings import PlatformSettings
from nexus_actors.platforms.tokens import BROKEN_OFF, Tokens
from nexus_actors.social import (
    begin_login,
    disconnect,
    finish_login,
    publish_post,
)
from nexus_actors.testing.kill_matrix import KillMatrix
from nexus_actors.testing.sandbox import SandboxClient
from publishing import TOKENS, Place
from scale import full
from swarms import RunSwarm, Witness


#: The accounts that a login at the sandbox ends with.
IDS = {
    "youtube": "UCsandbox0000000000000001",
    "tiktok": "-000sandbox-open-id",
    "instagram": "17841400000000001",
    "facebook": "110000000000001",
}

#: Which request renews a token, by platform.
RENEWS = {"youtube": "POST /youtube/token", "tiktok": "POST /tiktok/v2/oauth/token/"}


@pytest.fixture
def place(
    nexus_sandbox: SandboxClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Place:
    found = Place(tmp_path)
    for name, value in found.environ(nexus_sandbox.url, {}).items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def tokens(place: Place) -> Tokens:
    place.empty()
    database = Database.open(CoreSettings.load())
    store = DatabaseCredentialStore(database, Keyring(Secret(publishing.KEY)))
    return Tokens(store, database, PlatformSettings.load())


def consent(url: str) -> str:
    """Say yes, as a person would in a browser; return where they are sent back to."""
    answer = requests.get(url, allow_redirects=False, timeout=10)
    assert answer.status_code == 302, answer.text
    return answer.headers["Location"]


@pytest.mark.parametrize("platform", sorted(LOGINS))
def test_an_account_is_connected_with_its_scopes_and_can_be_disconnected(
    platform: str, place: Place, nexus_sandbox: SandboxClient
) -> None:
    begun = begin_login(platform)
    nothing = {"action": "answer", "status": 200, "body": "", "route": "POST *revoke*"}
    nexus_sandbox.faults(nothing)  # as TikTok's page has it

    [account] = finish_login(platform, consent(begun.url), begun)

    assert account.account == IDS[platform]
    assert account.credential
    assert LOGINS[platform].needed <= account.credential.scopes
    gone = disconnect(platform, account.account)
    assert (gone.state, gone.credential) == (AccountState.REVOKED, None)
    assert "sandbox" not in place.folder.joinpath("nexus.db").read_bytes().decode(
        "latin-1"
    ).replace(IDS[platform], "")


@pytest.mark.usefixtures("place")
def test_tiktok_s_challenge_is_in_hex_and_google_s_is_not() -> None:
    verifier = "nexus-actors-pkce-test-verifier-0123456789abcdefg"
    settings = PlatformSettings.load()

    tiktok = LOGINS["tiktok"](settings).challenge(verifier)
    google = LOGINS["youtube"](settings).challenge(verifier)

    assert tiktok == "a0e02a8e125f1e1264d3d053fde702bbf1a9c85c7b0b448c08342d9f567170d5"
    assert google == "oOAqjhJfHhJk09BT_ecCu_GpyFx7C0SMCDQtn1ZxcNU"
    query = parse_qs(urlsplit(begin_login("tiktok").url).query)
    assert len(query["code_challenge"][0]) == len(hashlib.sha256().hexdigest())


@pytest.mark.usefixtures("place")
def test_an_answer_that_is_another_s_or_a_refusal_or_too_little_connects_nothing(
    nexus_sandbox: SandboxClient,
) -> None:
    begun, other = begin_login("tiktok"), begin_login("tiktok")
    codes = []

    nexus_sandbox.settings(tiktok={"consent": {"scopes": ["user.info.basic"]}})
    for url in (other.url, begun.url):
        with pytest.raises(AuthorizationError) as caught:
            finish_login("tiktok", consent(url), begun)
        codes.append((caught.value.code, "video.publish" in caught.value.message))
    nexus_sandbox.settings(tiktok={"consent": {"denied": True}})
    with pytest.raises(AuthorizationError) as caught:
        finish_login("tiktok", consent(begun.url), begun)

    assert codes == [("wrong_state", False), ("missing_scope", True)]
    assert caught.value.code == "access_denied"


@pytest.mark.usefixtures("place")
def test_a_login_at_the_command_line_comes_back_to_this_machine() -> None:
    command = [sys.executable, "-m", "nexus_actors", "oauth", "login", "youtube"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        url = next(line for line in process.stderr if line.startswith("http"))
        back = urlsplit(parse_qs(urlsplit(url).query)["redirect_uri"][0])
        # a browser may have a connection open that it does not use
        with socket.create_connection((back.hostname, back.port or 0)):
            page = requests.get(url.strip(), timeout=20)
            out, err = process.communicate(timeout=60)

    assert page.text == "You can close this page."
    assert process.returncode == 0, err
    [account] = json.loads(out)
    assert (account["account"], account["state"]) == (IDS["youtube"], "active")
    assert "ya29" not in out + err


def test_a_hundred_attempts_of_many_workers_renew_a_token_once(
    database: Database,
    nexus_sandbox: SandboxClient,
    run_swarm: RunSwarm,
    tmp_path: Path,
) -> None:
    key, witness = make_key(), Witness(str(tmp_path / "told"))
    store = DatabaseCredentialStore(database, Keyring(Secret(key)))
    store.put("tiktok", "creator", publishing.credential("tiktok"))
    environ = {
        **publishing.APPS,
        "NEXUS_SANDBOX_URL": nexus_sandbox.url,
        "REJECTED": TOKENS["tiktok"][0],
    }

    each = [url_of(database), witness.path, key, environ, 13]
    ended, said = run_swarm("refresh", *each, processes=8)

    assert ended == {0: 8}, said
    told = witness.told()
    assert len(told) == 104
    assert all(line["fresh"] for line in told)
    assert {line["version"] for line in told} == {2}
    assert len(nexus_sandbox.requests()) == 1


@pytest.mark.parametrize(
    ("platform", "good_for_s", "apart", "ways"),
    [
        # who renews, which is a process of its own, is killed; its connection is cut
        pytest.param("tiktok", 0, False, {"kill"}, id="tiktok-killed"),
        pytest.param("tiktok", 0, True, {"cut"}, id="tiktok-cut"),
        pytest.param("tiktok", 600, False, {"kill"}, marks=full),
        pytest.param("tiktok", 600, True, {"cut"}, marks=full),
        pytest.param("youtube", None, True, {"kill", "cut"}, id="youtube"),
    ],
)
def test_who_dies_while_renewing_holds_nobody_up_and_only_a_rotated_pair_is_lost(
    platform: str,
    good_for_s: float | None,
    apart: bool,
    ways: set[str],
    place: Place,
    nexus_sandbox_server: SandboxClient,
) -> None:
    """A pair whose answer is lost cannot be had again, if the old one is good once."""
    nexus_sandbox = Lenient(nexus_sandbox_server.url, good_for_s or 0)
    database = Database.open(CoreSettings.load())
    upgrade(database)
    store = DatabaseCredentialStore(database, Keyring(Secret(publishing.KEY)))
    states: list[tuple[str, bool]] = []
    reasons: set[str | None] = set()

    def judge(_: dict[str, Any]) -> str | None:
        account = store.get(platform, "creator")
        assert account.credential
        token = account.credential.access_token.get_secret_value()
        states.append((account.state.value, token != TOKENS[platform][0]))
        reasons.add(account.reason)
        return None

    matrix = KillMatrix(
        publishing.renew_flow,
        nexus_sandbox,
        judge,
        environ={
            **place.environ(nexus_sandbox.url, {}),
            "ROUTE": platform,
            "APART": "yes" * apart,
        },
        prepare=place.empty,
    )
    moments = ("after",) if good_for_s else ("before", "during", "after")
    cases = list(matrix.cases(lambda c: c.moment in moments and c.way in ways))

    ends = dict(zip([(c.moment, c.way) for c in cases], states[1:], strict=True))
    renewed, lost = ("active", True), ("needs_reauthorization", False)
    after = lost if good_for_s == 0 else renewed
    assert ends == {
        (moment, way): after if moment == "after" else renewed
        for moment in moments
        for way in ways
    }
    told = [reason for reason in reasons if reason and BROKEN_OFF in reason]
    assert bool(told) == (good_for_s == 0 and not apart)


@pytest.mark.usefixtures("place")
def test_a_rotated_pair_is_stored_although_the_worker_is_killed_as_it_comes(
    nexus_sandbox: SandboxClient, tokens: Tokens
) -> None:
    slow = {"action": "wait", "moment": "after", "seconds": 1}
    nexus_sandbox.faults({**slow, "route": RENEWS["tiktok"]})
    renew = (
        "from nexus_actors.social.sweeps import refresh as f; f('tiktok', 'creator')"
    )
    command = [sys.executable, "-c", renew]

    with subprocess.Popen(command, start_new_session=True) as worker:
        until(lambda: any(nexus_sandbox.fired()), 60)
        os.killpg(worker.pid, signal.SIGKILL)
    until(lambda: tokens.store.get("tiktok", "creator").version == 2)

    renewed = tokens.usable("tiktok", "creator")
    assert tokens.token_of(renewed) != TOKENS["tiktok"][0]
    assert renewed.state is AccountState.ACTIVE
    assert len(nexus_sandbox.requests()) == 1


def test_what_is_refused_to_the_process_that_renews_is_told_by_who_asked_for_it(
    tokens: Tokens, nexus_sandbox: SandboxClient
) -> None:
    refused = {"error": "invalid_grant", "error_description": "It is revoked."}
    nexus_sandbox.faults({"action": "answer", "status": 200, "body": refused})
    heard: list[str] = []

    def hear(_: Account, reason: str) -> bool:
        heard.append(reason)
        return True

    with pytest.raises(AuthorizationError, match="It is revoked") as caught:
        replace(tokens, apart=True, on_loss=hear).renew("tiktok", "creator")

    found = tokens.store.get("tiktok", "creator")
    assert caught.value.code == "needs_reauthorization"
    assert found.state is AccountState.NEEDS_REAUTHORIZATION
    assert heard == [found.reason]


class Lenient(SandboxClient):
    """A sandbox in which TikTok takes an old refresh token for a while."""

    def __init__(self, url: str, good_for_s: float) -> None:
        super().__init__(url)
        self._good_for_s = good_for_s

    def reset(self) -> None:
        super().reset()
        self.settings(tiktok={"old_refresh_token_s": self._good_for_s})


@pytest.mark.usefixtures("place")
def test_a_new_pair_is_not_lost_while_the_database_is_away(
    postgresql: PostgreSQL,
    open_database: OpenDatabase,
    nexus_sandbox: SandboxClient,
) -> None:
    database = open_database(postgresql.create())
    upgrade(database)
    store = DatabaseCredentialStore(database, Keyring(Secret(publishing.KEY)))
    store.put("tiktok", "creator", publishing.credential("tiktok"))
    tokens = Tokens(store, database, PlatformSettings.load())
    slow = {"action": "wait", "moment": "after", "seconds": 1}
    nexus_sandbox.faults({**slow, "route": RENEWS["tiktok"]})

    with ThreadPoolExecutor() as pool:
        renewing = pool.submit(tokens.renew, "tiktok", "creator")
        until(lambda: any(nexus_sandbox.fired()))
        with postgresql.away(str(database.engine.url.database)):
            until(lambda: nexus_sandbox.requests()[0]["took_ms"] is not None)
            time.sleep(0.3)  # the first try to store has failed
            assert not renewing.done()
        renewed = renewing.result(timeout=60)

    assert (renewed.version, renewed.state) == (2, AccountState.ACTIVE)
    assert len(nexus_sandbox.requests()) == 1
    assert store.get("tiktok", "creator") == renewed


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "answer", "status": 503},
        {"action": "answer", "status": 429, "headers": {"Retry-After": "5"}},
        {"action": "answer", "status": 500, "body": "<html>invalid_grant</html>"},
        {"action": "drop"},
    ],
)
def test_an_account_stays_connected_when_the_platform_only_stumbles(
    tokens: Tokens, nexus_sandbox: SandboxClient, fault: dict[str, Any]
) -> None:
    nexus_sandbox.faults({**fault, "route": RENEWS["youtube"], "times": None})

    with pytest.raises((Postponed, RemoteUnavailableError)):
        tokens.renew("youtube", "creator")
    still = tokens.store.get("youtube", "creator").state
    nexus_sandbox.faults()
    renewed = tokens.renew("youtube", "creator")

    assert still is AccountState.ACTIVE
    assert renewed.version == 2


def test_only_a_recognised_answer_asks_for_the_owner_and_is_told(
    tokens: Tokens, nexus_sandbox: SandboxClient
) -> None:
    heard: list[Account] = []

    def hear(account: Account, _: str) -> bool:
        heard.append(account)
        return len(heard) > 1  # at first, nobody could be told

    listening = Tokens(tokens.store, tokens.database, tokens.settings, hear)
    refused = {"error": "invalid_grant", "error_description": "Token has been revoked."}
    nexus_sandbox.faults(
        {"action": "answer", "status": 400, "body": refused, "times": 2}
    )

    for state in (AccountState.ACTIVE, AccountState.NEEDS_REAUTHORIZATION):
        with pytest.raises(AuthorizationError):
            listening.renew("youtube", "creator")
        assert tokens.store.get("youtube", "creator").state is state
    with pytest.raises(NexusError, match="connect it again"):
        listening.usable("youtube", "creator")

    told = [(account.platform, account.account) for account in heard]
    assert told == [("youtube", "creator")] * 2


@pytest.mark.parametrize("odd", [[], {"data": None}])
def test_a_page_is_found_on_any_page_of_the_list_and_an_odd_answer_loses_none(
    odd: object, tokens: Tokens, nexus_sandbox: SandboxClient
) -> None:
    ids = [str(110_000_000_000_001 + number) for number in range(120)]
    pages = [{"id": i, "name": i, "access_token": f"EAA-page-{i}"} for i in ids]
    nexus_sandbox.settings(facebook={"pages": pages, "people": [{"pages": ids}]})
    tokens.store.put("facebook", ids[-1], publishing.credential("facebook"))
    strange = {"action": "answer", "status": 200, "body": odd}
    nexus_sandbox.faults({**strange, "route": "GET *"})

    with pytest.raises(RemoteUnavailableError):
        tokens.renew("facebook", ids[-1])
    still = tokens.store.get("facebook", ids[-1]).state
    renewed = tokens.renew("facebook", ids[-1])

    assert (still, renewed.state) == (AccountState.ACTIVE, AccountState.ACTIVE)
    assert renewed.version == 2


def test_a_host_may_keep_the_accounts_itself_and_needs_no_key_for_them(
    place: Place, nexus_sandbox: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_CREDENTIAL_STORE", "host_stores:HostStore")
    monkeypatch.delenv("NEXUS_SECRET_KEY")
    begun = begin_login("facebook")
    [account] = finish_login("facebook", consent(begun.url), begun)

    record = publish_post(
        platform="facebook", account=account.account, content={"title": "A text"}
    )
    monkeypatch.setenv("NEXUS_CREDENTIAL_STORE", "pathlib:Path")
    with pytest.raises(ConfigurationError, match="no subclass of CredentialStore"):
        finish_login("facebook", "", begun)

    assert record["state"] == "published"
    assert len(nexus_sandbox.truth()["facebook"]) == 1
    assert place.record()["account"] == account.account
