"""The time, and how a test moves it for all processes of a run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from nexus_actors.core import clock


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "clock"
    monkeypatch.setenv("NEXUS_CLOCK_FILE", str(file))
    return file


def off_by() -> timedelta:
    return clock.now() - datetime.now(UTC)


def near(found: timedelta, wanted: timedelta) -> bool:
    return abs(found - wanted) < timedelta(seconds=1)


def test_the_time_is_the_real_one_and_knows_its_zone() -> None:
    assert clock.now().tzinfo is UTC
    assert near(off_by(), timedelta())
    assert abs(clock.now_ms() - time.time() * 1000) < 1000


def test_an_instant_becomes_milliseconds_and_back() -> None:
    instant = datetime(2026, 5, 1, 12, 0, 0, 125_000, tzinfo=UTC)
    east = instant.astimezone(timezone(timedelta(hours=8)))

    assert clock.from_ms(clock.to_ms(instant)) == instant
    assert clock.from_ms(0).tzinfo is UTC
    assert clock.to_ms(east) == clock.to_ms(instant) == 1_777_636_800_125


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        clock.to_ms(datetime(2026, 5, 1))  # noqa: DTZ001 - what a host may hand us


def test_the_time_is_real_until_it_is_moved(moved: Path) -> None:
    assert not moved.exists()
    assert near(off_by(), timedelta())


@pytest.mark.parametrize("days", [30, -2])
@pytest.mark.usefixtures("moved")
def test_the_time_is_moved_from_the_real_one(days: int) -> None:
    clock.move(timedelta(days=days).total_seconds())

    assert near(off_by(), timedelta(days=days))


@pytest.mark.usefixtures("moved")
def test_moving_again_starts_from_the_real_time() -> None:
    clock.move(3600)
    clock.move(60)

    assert near(off_by(), timedelta(seconds=60))


@pytest.mark.usefixtures("moved")
def test_a_running_process_sees_the_move_and_its_sleep_ends() -> None:
    code = "from nexus_actors.core import clock; print(clock.now_ms(), flush=True)"
    code += "; clock.sleep(3600); print(clock.now_ms())"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=os.environ, stdout=subprocess.PIPE) as process:
        assert process.stdout
        before = int(process.stdout.readline())
        for step in range(1, 300):  # it may not sleep yet when the first move comes
            clock.move(3601 * step)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
                break
        process.kill()
        after = int(process.stdout.readline())

    assert after - before >= 3601_000


@pytest.mark.usefixtures("moved")
def test_a_move_short_of_the_end_of_a_sleep_only_shortens_it() -> None:
    timer = threading.Timer(0.1, clock.move, [3599.6])
    timer.start()
    started = time.monotonic()

    clock.sleep(3600)

    assert 0.4 <= time.monotonic() - started < 10


@pytest.mark.usefixtures("moved")
def test_moving_the_time_back_makes_no_sleep_longer() -> None:
    threading.Timer(0.1, clock.move, [-3600]).start()
    started = time.monotonic()

    clock.sleep(0.3)

    assert 0.3 <= time.monotonic() - started < 10


@pytest.mark.parametrize("seconds", [0.05, 0, -1])
def test_a_sleep_without_a_clock_file_is_a_plain_one(seconds: float) -> None:
    started = time.monotonic()

    clock.sleep(seconds)

    assert max(0, seconds) <= time.monotonic() - started < 10


@pytest.mark.usefixtures("moved")
def test_no_reader_ever_sees_half_of_a_move() -> None:
    clock.move(1_000_000)
    done = threading.Event()

    def move() -> None:
        while not done.is_set():
            clock.move(1_000_000)

    thread = threading.Thread(target=move)
    thread.start()
    seen = {round(off_by().total_seconds(), -3) for _ in range(2000)}
    done.set()
    thread.join()

    assert seen == {1_000_000}
