from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from nexus_actors import ConfigurationError
from nexus_actors.cli import cli


COMMAND = [sys.executable, "-m", "nexus_actors", "sandbox"]


@pytest.mark.parametrize("ends", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_its_address_and_a_signal_ends_it_well(
    tmp_path: Path, ends: signal.Signals
) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text('[{"action": "answer", "status": 503}]')

    with subprocess.Popen(
        [*COMMAND, "--faults", str(faults)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout
        told = json.loads(process.stdout.readline())
        answer = requests.post(f"{told['vendors']['webhook']}/orders", timeout=30)
        page = requests.get(told["url"], timeout=30)
        process.send_signal(ends)
        rest, noise = process.communicate(timeout=30)

    assert answer.status_code == 503
    assert page.headers["content-type"].startswith("text/html")
    assert process.returncode == 0
    assert rest == ""
    assert len(noise.splitlines()) == 1


def test_a_log_that_cannot_be_written_is_told_before_it_begins(tmp_path: Path) -> None:
    words = ["sandbox", "--log", str(tmp_path / "missing" / "log")]

    done = CliRunner().invoke(cli, words, standalone_mode=False)

    assert isinstance(done.exception, ConfigurationError)
    assert "missing/log: No such file or directory" in done.exception.message


@pytest.mark.parametrize("content", [None, '[{"action": "explode"}]'])
def test_a_script_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, content: str | None
) -> None:
    faults = tmp_path / "faults.json"
    if content is not None:
        faults.write_text(content)

    done = subprocess.run(
        [*COMMAND, "--faults", str(faults)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert str(faults) in done.stderr
    assert len(done.stderr.splitlines()) == 1
