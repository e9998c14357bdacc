"""A master that dies is started again, alone; a signal stops them all."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import until


RUN = """
import sys
from nexus_actors.engine.supervisor import Supervisor
folder = sys.argv[1]
child = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\\\n'); "
good = [sys.executable, "-c", child + "time.sleep(60)", folder + "/good"]
bad = [sys.executable, "-c", child + "sys.exit(3)", folder + "/bad"]
sys.exit(Supervisor([good, bad]).run())
"""


def starts(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_dead_are_started_again_and_a_signal_ends_all(
    tmp_path: Path, number: signal.Signals
) -> None:
    log = (tmp_path / "log").open("wb")
    with log:
        supervisor = subprocess.Popen(
            [sys.executable, "-c", RUN, str(tmp_path)], stdout=log, stderr=log
        )
    # until the third of them is known to be dead: then the next is not started yet
    until(lambda: (tmp_path / "log").read_text().count("worker.died") == 3, 60)

    supervisor.send_signal(number)

    assert supervisor.wait(10) == 0
    assert len(starts(tmp_path / "good")) == 1
    assert not Path(f"/proc/{starts(tmp_path / 'good')[0]}").exists()
    told = (tmp_path / "log").read_text()
    assert "again_in_s=1.0" in told
    assert "again_in_s=2.0" in told
