"""Many processes at one database, some of them killed.

They are forked by a program of its own, which has imported everything and connected to
nothing, so that hundreds start in seconds.  What the processes do is witnessed in a
file, one line at a time, which is written before or after the statement in question
and outlives a kill.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from nexus_actors.core.credentials import (
    Account,
    Credential,
    DatabaseCredentialStore,
    StaleAccountError,
)
from nexus_actors.core.database import Database, upgrade
from nexus_actors.core.errors import Postponed
from nexus_actors.core.keyring import Keyring, Secret
from nexus_actors.core.ledger import Claim, ClaimLostError, Ledger
from nexus_actors.core.logs import configure
from nexus_actors.core.settings import CoreSettings
from nexus_actors.platforms.settings import PlatformSettings
from nexus_actors.platforms.tokens import Tokens


Ready = Callable[[], object]
Work = Callable[[random.Random, Ready], None]

#: Loaded before the first fork, so that no process has to.
LOADED = (
    "alembic.command",
    "nexus_actors.core.tables",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
)

LEASE_S = 1.0
ACCOUNTS = 3


@dataclass(frozen=True, slots=True)
class Witness:
    """A file that many processes append to, a line at a time."""

    path: str

    def tell(self, **what: Any) -> None:
        line = json.dumps({"pid": os.getpid(), "at": time.time(), **what}) + "\n"
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, line.encode())
        os.close(file)

    def told(self) -> list[dict[str, Any]]:
        file = Path(self.path)
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line) for line in lines]


def swarm(
    work: Work, *, processes: int, kills: int = 0, pause_s: float = 0.1
) -> Counter[int]:
    """Run *work* in many processes; kill *kills* of them, each replaced by another.

    Returns:
        How many ended with which status; a negative one is the signal that killed it.
    """
    chance = random.Random(20)
    running: set[int] = set()
    ready: set[int] = set()  # those that have begun to work: others are not worth it
    ended: Counter[int] = Counter()
    hear, tell = os.pipe()
    os.set_blocking(hear, False)

    def start() -> None:
        seed = chance.random()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                work(random.Random(seed), lambda: os.write(tell, b"%9d" % os.getpid()))
                status = 0
            except BaseException as error:  # noqa: BLE001 - nothing may leave the child
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
            finally:
                os._exit(status)
        running.add(pid)

    for _ in range(processes):
        start()
    while running:
        if kills:
            time.sleep(chance.expovariate(1 / pause_s))
            with suppress(BlockingIOError):
                told = os.read(hear, 9 * 1000)
                ready |= {int(told[at : at + 9]) for at in range(0, len(told), 9)}
            if victims := sorted(ready & running):
                victim = chance.choice(victims)
                os.kill(victim, signal.SIGKILL)
                ready.discard(victim)
                kills -= 1
        pid, status = os.waitpid(-1, os.WNOHANG if kills else 0)
        if pid:
            running.discard(pid)
            code = os.waitstatus_to_exitcode(status)
            ended[code] += 1
            if code == -signal.SIGKILL:
                start()
    os.close(hear)
    os.close(tell)
    return ended


def work_on_ledger(url: str, path: str, keys: int) -> Work:
    """Go on until every call has an outcome or is unknown; die at any moment."""
    witness = Witness(path)

    def work(chance: random.Random, ready: Ready) -> None:
        ledger = Ledger(connect(url), "swarm")
        waiting = not_final(ledger, keys)
        ready()
        while waiting:
            key = chance.choice(waiting)
            try:
                claim = ledger.claim(key, lease_s=LEASE_S)
            except Postponed:
                time.sleep(0.03)
                continue
            if isinstance(claim, Claim):
                with suppress(ClaimLostError), claim:
                    call(claim, witness, chance)
            else:
                waiting = not_final(ledger, keys)

    return work


def not_final(ledger: Ledger, keys: int) -> list[str]:
    query = text("SELECT key FROM nexus_ledger WHERE state IN ('settled', 'unknown')")
    with ledger.database.read() as connection:
        final = set(connection.scalars(query))
    return [key for n in range(keys) if (key := f"key-{n}") not in final]


def dies_before(key: str) -> bool:
    """Tell of which keys the first owner dies before the call, whatever else may be."""
    return key.endswith("33")


def dies_calling(key: str) -> bool:
    """Tell of which keys whoever calls dies before there is an answer."""
    return key.endswith("66")


def call(claim: Claim, witness: Witness, chance: random.Random) -> None:
    until = claim.entry.lease_until.timestamp()
    told = {"key": claim.entry.key, "owner": claim.entry.owner}
    witness.tell(did="claimed", until=until, **told)
    time.sleep(chance.random() * 0.02)
    if dies_before(claim.entry.key) and claim.entry.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if chance.random() < 0.1:
        witness.tell(did="releases", **told)
        claim.release()
        return
    claim.begin_call()
    witness.tell(did="called", **told)
    time.sleep(chance.random() * 0.04)
    if dies_calling(claim.entry.key):
        os.kill(os.getpid(), signal.SIGKILL)
    claim.settle("accepted", {"owner": claim.entry.owner})
    witness.tell(did="settled", **told)


def work_on_credentials(url: str, path: str, keys: str, renewals: int) -> Work:
    """Renew credentials, and now and then seal all of them with another first key."""
    witness = Witness(path)
    old, new = keys.split(",")

    def work(chance: random.Random, ready: Ready) -> None:
        database = connect(url)
        ready()
        rings = [Keyring(Secret(a), Secret(b)) for a, b in ((old, new), (new, old))]
        done = 0
        while done < renewals:
            store = DatabaseCredentialStore(database, chance.choice(rings))
            if chance.random() < 0.1:
                store.rotate()
                continue
            seen = store.get("tiktok", f"account-{chance.randrange(ACCOUNTS)}")
            check_whole(seen)
            account, version = seen.account, seen.version + 1
            told = {"account": account, "version": version}
            try:
                store.renew(seen, credential_of(account, version))
            except StaleAccountError:
                witness.tell(did="lost", **told)
                continue
            witness.tell(did="won", **told)
            done += 1

    return work


def credential_of(account: str, version: int) -> Credential:
    word = f"PLANTED-{account}-{version}-{os.getpid()}"
    return Credential(
        access_token=Secret(word),
        refresh_token=Secret(word),
        scopes=frozenset({"video.publish"}),
        obtained_at=datetime.now(UTC),
    )


def check_whole(seen: Account) -> None:
    """Both tokens must come from one renewal, which is the latest."""
    assert seen.credential
    access, refresh = seen.credential.access_token, seen.credential.refresh_token
    assert access == refresh
    word = access.get_secret_value().rpartition("-")[0]
    assert word == f"PLANTED-{seen.account}-{seen.version}"


def work_on_upgrades(url: str, path: str) -> Work:
    """Start as a worker does, several times over, and use what is there."""
    witness = Witness(path)

    def work(_: random.Random, ready: Ready) -> None:
        ready()
        for _restart in range(2):
            database = Database.open(settings(url))
            applied = upgrade(database)
            if applied:
                witness.tell(did="applied", steps=applied)
            Ledger(database, "swarm").claim(f"pid-{os.getpid()}", lease_s=0.0)
            database.close()

    return work


def work_on_refresh(
    url: str, path: str, key: str, environ: dict[str, str], attempts: int
) -> Work:
    """Ask for another token than the one that a platform has rejected."""
    witness = Witness(path)

    def work(_: random.Random, ready: Ready) -> None:
        os.environ.update(environ)
        configure("ERROR")  # stdout is for answers
        database = connect(url)
        store = DatabaseCredentialStore(database, Keyring(Secret(key)))
        tokens = Tokens(store, database, PlatformSettings.load())
        rejected = os.environ["REJECTED"]
        ready()
        done = 0
        while done < attempts:
            try:
                account = tokens.renew("tiktok", "creator", rejected=rejected)
            except Postponed:
                time.sleep(0.05)
                continue
            witness.tell(
                version=account.version, fresh=tokens.token_of(account) != rejected
            )
            done += 1

    return work


def settings(url: str) -> CoreSettings:
    return CoreSettings.load({"database_url": url})


def connect(url: str) -> Database:
    return Database.open(settings(url))


WORKS: dict[str, Callable[..., Work]] = {
    "ledger": work_on_ledger,
    "credentials": work_on_credentials,
    "refresh": work_on_refresh,
    "upgrades": work_on_upgrades,
}


RunSwarm = Callable[..., tuple[Counter[int], str]]


@pytest.fixture(scope="session")
def run_swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunSwarm]:
    """Run a swarm; return how its processes ended, and what they said of errors."""
    with subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin
        assert program.stdout
        ask, hear = program.stdin, program.stdout

        def run(work: str, *more: Any, **options: Any) -> tuple[Counter[int], str]:
            said = tmp_path_factory.mktemp("swarm") / "said"
            asked = {"work": work, "more": more, "said": str(said), "options": options}
            ask.write(json.dumps(asked) + "\n")
            ask.flush()
            ended = json.loads(hear.readline())
            counted = {int(status): count for status, count in ended.items()}
            return Counter(counted), said.read_text()

        yield run
        program.terminate()


def serve() -> None:
    """Answer each line on stdin that asks for a swarm."""
    for module in LOADED:
        import_module(module)
    for line in sys.stdin:
        asked = json.loads(line)
        said = os.open(asked["said"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(said, 2)
        os.close(said)
        ended = swarm(WORKS[asked["work"]](*asked["more"]), **asked["options"])
        print(json.dumps(ended), flush=True)  # noqa: T201 - the program's answer


if __name__ == "__main__":
    serve()
