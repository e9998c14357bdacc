"""The metrics are true: while there is load, after a kill, and when all is quiet."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import pytest

from conftest import ROOT
from metering import OUTCOMES, RULES, SLOW, TWENTIES, WAYS, Life, Prometheus, Scrape
from scale import scaled


STATES = ("ready", "in_flight", "delayed", "dead")


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    with Life.lived(tmp_path_factory.mktemp("life")) as life:
        yield life


def counted(way_of: dict[str, tuple[str, ...]]) -> Counter[str]:
    """Return how often each outcome is to be there."""
    found: Counter[str] = Counter()
    for way, outcomes in way_of.items():
        for outcome in outcomes:
            found[outcome] += WAYS[way] * TWENTIES
    return found


def test_outcomes_are_counted_exactly_although_a_process_was_killed(life: Life) -> None:
    seen = life.groups["b"].scrapes[-1]

    name = "nexus_messages_processed_total"
    by_outcome = {key[0]: value for key, value in seen.by(name, "outcome").items()}
    assert by_outcome == counted(OUTCOMES) + Counter(success=SLOW)
    retried = seen.by("nexus_messages_retried_total", "actor", "reason")
    assert retried == {
        ("end", "other"): WAYS["retried"] * TWENTIES,
        ("end", "provider_5xx"): WAYS["exhausted"] * TWENTIES,
    }
    dead = seen.by("nexus_messages_dead_lettered_total", "actor", "reason")
    assert dead == {
        ("end", "retries_exhausted"): WAYS["exhausted"] * TWENTIES,
        ("end", "rejected"): WAYS["rejected"] * TWENTIES,
        ("expire", "expired"): WAYS["expired"] * TWENTIES,
    }
    sent = seen.by("nexus_messages_enqueued_total", "queue")
    assert sent == {("mixed",): 20 * TWENTIES, ("slow",): SLOW}


def test_at_every_moment_the_states_add_up_to_the_messages_that_exist(
    life: Life,
) -> None:
    scrapes = [scrape for group in life.groups.values() for scrape in group.scrapes]

    assert len(scrapes) > 20
    for scrape in scrapes:
        done = scrape.sum("nexus_messages_processed_total", outcome="success")
        exist = scrape.sum("nexus_messages_enqueued_total") - done
        states = [scrape.sum("nexus_queue_messages", state=state) for state in STATES]
        assert sum(states) == exist, scrape.text
        assert min(states) >= 0
    for state in STATES:
        assert max(s.sum("nexus_queue_messages", state=state) for s in scrapes) > 0


def test_durations_miss_only_what_ran_in_the_killed_process(life: Life) -> None:
    a, b = (group.scrapes[-1] for group in life.groups.values())

    name = "nexus_message_duration_seconds_count"
    seen = a.sum(name) + b.sum(name)
    skipped = WAYS["expired"] * TWENTIES
    ran = a.sum("nexus_messages_processed_total") - skipped
    assert ran - life.runs[life.killed] <= seen <= ran
    assert b.sum(name) > 0
    waited = "nexus_message_wait_seconds"
    assert a.sum(f"{waited}_count") + b.sum(f"{waited}_count") == seen
    # what was to run later has waited from then on
    assert a.sum(f"{waited}_bucket", le="7200.0") == a.sum(f"{waited}_count")
    long = {"actor": "wait", "queue": "slow"}
    buckets = [
        sum(
            s.sum("nexus_message_duration_seconds_bucket", le=le, **long)
            for s in (a, b)
        )
        for le in ("1.0", "60.0")
    ]
    assert buckets[0] == 0
    assert SLOW >= buckets[1] >= SLOW - 4  # so many may have run in the killed one
    assert a.sum("nexus_process_cpu_seconds_total") > 0.1
    assert a.sum("nexus_process_resident_memory_bytes") > 2e7


def test_every_gauge_is_true_again_when_all_is_quiet(life: Life) -> None:
    a = life.groups["a"].scrapes[-1]
    b = life.groups["b"].scrapes[-1]  # when its only worker has stopped

    assert life.settled_s < 10
    dead = WAYS["exhausted"] + WAYS["rejected"] + WAYS["expired"]
    assert a.by("nexus_queue_messages", "queue", "state") == {
        ("mixed", "dead"): dead * TWENTIES
    }
    assert a.by("nexus_workers", "queue") == {("mixed",): 2, ("slow",): 2}
    assert a.by("nexus_worker_threads", "queue", "state") == {
        ("mixed", "idle"): 8,
        ("slow", "idle"): 8,
    }
    assert a.sum("nexus_queue_oldest_message_age_seconds") == 0
    assert a.by("nexus_messages_in_progress", "actor") == {}
    assert "nexus_queue_next_delayed_due_seconds{" not in a.text
    assert b.by("nexus_workers", "queue") == {("mixed",): 1, ("slow",): 1}
    assert "nexus_messages_in_progress{" not in b.text
    assert b.sum("nexus_worker_shutdown_duration_seconds_count") == 1


def test_the_files_of_the_dead_are_made_one(life: Life) -> None:
    left = {file.name for file in life.groups["b"].folder.iterdir()}

    assert left == {"counter_dead.db", "gauge_max_dead.db", "histogram_dead.db"}


# What is shipped for Prometheus and Grafana


def watched(life: Life) -> Prometheus:
    if life.prometheus is None:
        pytest.skip("no Prometheus on this machine: .ci/bootstrap test")
    return life.prometheus


def panels() -> list[tuple[str, str]]:
    """Return the title and each query of every panel."""
    dashboard = json.loads((ROOT / "deploy/grafana/nexus-actors.json").read_text())
    return [
        (panel["title"], target["expr"])
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]


def test_no_panel_is_empty(life: Life) -> None:
    prometheus = watched(life)

    for title, query in panels():
        asked = query.replace("$__rate_interval", "30s").replace("$queue", ".*")
        assert prometheus.range(asked, life.began, life.ended), title
    assert len({title for title, _ in panels()}) > 25


def test_every_metric_that_an_alert_asks_for_is_there(life: Life) -> None:
    prometheus = watched(life)

    rules = prometheus.get("rules")["groups"][0]["rules"]
    for rule in rules:
        assert rule["health"] == "ok", rule["lastError"]
        for selector in set(re.findall(r"nexus_\w+(?:{[^}]*})?", rule["query"])):
            assert prometheus.range(selector, life.began, life.ended), selector
    assert len(rules) > 10


def test_alerts_fire_when_their_fault_is_made_and_not_before(life: Life) -> None:
    watched(life)

    load = {"NexusDeadLetters", "NexusFailures"}
    assert life.firing["load"] == load
    assert life.firing["no workers"] == load | {"NexusNoWorkers"}
    assert "NexusBrokerDown" in life.firing["no redis"]


def test_alerts_wait_as_long_as_they_say() -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool on this machine: .ci/bootstrap test")

    done = subprocess.run(
        [program, "test", "rules", str(Path(__file__).with_name("alerts.yml"))],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    tested = Path(__file__).with_name("alerts.yml").read_text("utf-8")
    for alert in re.findall(r"alert: (\w+)", RULES.read_text("utf-8")):
        assert re.search(rf"alertname=.{alert}\W", tested), f"{alert} is not tested"


def test_the_exporter_outlives_redis_and_tells(life: Life) -> None:
    watched(life)

    seen = Scrape(life.without_redis)
    assert seen.values["nexus_broker_up", frozenset()] == 0
    assert seen.sum("nexus_exporter_scrape_errors_total") > 0
    assert "nexus_queue_messages" not in life.without_redis
    assert life.masters["exporter"].poll() is None


def test_a_signal_ends_an_exporter_that_answers_just_then(redis_url: str) -> None:
    """The signal comes to any of its threads, which are at work."""
    command = [sys.executable, "-m", "nexus_actors", "exporter", "--port", "0"]
    environ, ended = os.environ | {"REDIS_URL": redis_url}, threading.Event()

    def ask(url: str) -> None:
        while not ended.is_set():
            with suppress(OSError, HTTPException):
                urlopen(url, timeout=5).read()

    count = scaled(5, full=20)
    running = [
        subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    with ThreadPoolExecutor(3 * count) as clients:
        for one in running:
            assert one.stderr
            url = one.stderr.readline().strip()
            for _ in range(3):
                clients.submit(ask, url)
        for one in running:
            time.sleep(0.2)  # they are asked
            one.terminate()
        try:
            codes = [one.wait(20) for one in running]
        finally:
            ended.set()
            for one in running:
                one.kill()
                one.communicate()

    assert codes == [0] * count


def test_an_exporter_whose_port_is_taken_says_so_and_a_signal_ends_one(
    life: Life,
) -> None:
    command = [sys.executable, "-m", "nexus_actors", "exporter"]
    second = subprocess.run(
        [*command, "--port", str(life.exporter_port)],
        env=os.environ | {"REDIS_URL": life.redis.url},
        capture_output=True,
        text=True,
        check=False,
    )
    first = life.masters["exporter"]
    first.terminate()

    assert second.returncode == 2
    said = "error: port {} of 127.0.0.1 cannot be used: address already in use; "
    assert second.stderr.startswith(said.format(life.exporter_port))
    assert first.wait(20) == 0
