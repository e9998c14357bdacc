"""Actors that real worker processes run in the engine's tests, and note what they do.

Each line of the file ``NOTES`` tells what, which number, in which process, and when.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import dramatiq

from nexus_actors import CoreSettings, RedisBroker, TransientError, budgets


broker = RedisBroker(CoreSettings.load())
dramatiq.set_broker(broker)


def note(what: str, number: int, *more: str) -> None:
    line = " ".join([what, f"{number} {os.getpid()}", *more, f"{time.time():.6f}\n"])
    file = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)


@dramatiq.actor(max_retries=0)
def work(number: int, seconds: float = 0) -> None:
    """Run for *seconds*, or until there is a file called gate beside the notes."""
    note("start", number)
    ends = time.monotonic() + seconds
    gate = Path(os.environ["NOTES"]).with_name("gate")
    while time.monotonic() < ends and not gate.exists():
        time.sleep(0.02)
    note("end", number)


@dramatiq.actor(max_retries=0)
def die(number: int) -> None:
    """Kill the process that runs it."""
    note("start", number)
    time.sleep(0.3)  # neighbours are in the middle of it
    os.kill(os.getpid(), signal.SIGKILL)


@dramatiq.actor(max_retries=0)
def publish(account: int) -> None:
    """Make a call that counts against the account's budget, and note when it was."""
    before = time.time()
    budgets.spend(budgets.Budget(f"tiktok:{account}:publish", limit=6, window_s=3))
    note("publish", account, f"{before:.6f}")


@dramatiq.actor(max_retries=1, min_backoff=1_000)
def stumble(number: int) -> None:
    """Fail the first time, to be run again a second or two later."""
    is_first = f"stumble {number} " not in Path(os.environ["NOTES"]).read_text()
    note("stumble", number)
    if is_first:
        raise TransientError("the first time")
    note("end", number)
