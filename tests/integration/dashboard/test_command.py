"""``nexus-actors dashboard``: for this machine, or behind a password."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import requests


COMMAND = [sys.executable, "-m", "nexus_actors", "dashboard", "--port", "0"]


def test_it_answers_on_loopback_to_its_own_name_until_a_signal(redis_url: str) -> None:
    environ = {**os.environ, "REDIS_URL": redis_url, "PYTHONUNBUFFERED": "1"}
    environ["NEXUS_DASHBOARD_NAMES"] = "ops.example.com, other.example.com"

    with subprocess.Popen(
        [*COMMAND, "--read-only"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
    ) as process:
        assert process.stdout
        url = json.loads(process.stdout.readline())["url"]
        page = requests.get(url, timeout=60)
        named = requests.get(url, headers={"Host": "ops.example.com"}, timeout=60)
        evil = requests.get(url, headers={"Host": "evil.example"}, timeout=60)
        process.send_signal(signal.SIGTERM)
        rest, noise = process.communicate(timeout=60)

    assert url.startswith("http://127.0.0.1:")
    assert "read only" in page.text
    assert "server" not in {name.lower() for name in page.headers}
    assert (named.status_code, evil.status_code) == (200, 421)
    assert process.returncode == 0
    assert rest == ""
    assert noise.splitlines() == ["open it in a browser; Ctrl-C ends it"]


def test_other_machines_are_let_in_only_by_a_password(redis_url: str) -> None:
    done = subprocess.run(
        [*COMMAND, "--host", "0.0.0.0"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "REDIS_URL": redis_url},
        check=False,
    )

    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "set NEXUS_DASHBOARD_PASSWORD" in line
