"""deploy/compose.yaml: it is valid, and its commands together are the whole system."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

import pytest
import requests

from composing import (
    DEPLOY,
    FILLED,
    IMAGE,
    STORES,
    Container,
    Machine,
    documents,
    has,
    services,
)
from conftest import ROOT, make_clip, until
from databases import PostgreSQL
from nexus_actors.app import WORKERS, actors_of
from objectstores import S3Server


QUEUES = {actor.queue_name for actor in actors_of()}
VIDEO = {"formats": ["hls"], "thumbnails": False}


def test_the_file_is_valid_by_the_schema_of_compose() -> None:
    command = [sys.executable, "-m", "check_jsonschema"]
    schema = ["--builtin-schema", "vendor.compose-spec"]

    done = subprocess.run(
        [*command, *schema, DEPLOY / "compose.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "name",
    [
        "NEXUS_SECRET_KEY",
        "POSTGRES_PASSWORD",
        "DASHBOARD_PASSWORD",
        "GRAFANA_PASSWORD",
    ],
)
def test_a_secret_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(LookupError, match=f"{name}: set it in .env"):
        services(FILLED | {name: ""})

    assert f"\n{name}=\n" in (DEPLOY / ".env.example").read_text("utf-8")


def test_workers_have_the_names_and_ports_of_before_and_may_be_several() -> None:
    found = services(FILLED)

    for domain, (name, port) in WORKERS.items():
        worker = found[name]
        assert worker["command"][:3] == ["nexus-actors", "worker", domain]
        assert worker["environment"]["HEALTH_CHECK_PORT"] == str(port)
        assert worker["expose"] == [str(port)]
        assert not {"ports", "container_name", "hostname"} & worker.keys()
        assert worker["restart"] == "unless-stopped"
    opened = [port for service in found.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in opened)


def test_the_video_worker_is_given_no_credentials_but_those_of_the_store() -> None:
    video = services(FILLED)["video-processor"]

    assert "env_file" not in video
    assert not {"NEXUS_SECRET_KEY", "DATABASE_URL"} & video["environment"].keys()


def test_who_stores_something_knows_where_and_nobody_else() -> None:
    found = services(FILLED)

    knowing = {n for n, s in found.items() if "STORAGE_URL" in s.get("environment", {})}

    assert knowing == STORES


def test_the_images_have_what_the_services_ask_of_them() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text("utf-8")
    found = services(FILLED)
    targets = {s["build"]["target"] for s in found.values() if "build" in s}
    constraints = (ROOT / ".ci" / "constraints.txt").read_text("utf-8")
    moto = re.search(r"^moto==(\d+\.\d+\.)", constraints, re.MULTILINE)

    assert targets == {"worker-video", "worker-slim"}
    assert targets <= set(re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE))
    assert all(f"{name}={value}" in dockerfile for name, value in IMAGE.items())
    assert moto
    assert found["s3"]["image"].startswith(f"motoserver/moto:{moto[1]}")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    known = extras["project"]["optional-dependencies"]
    assert set(re.findall(r"--extra (\S+)", dockerfile)) <= known.keys()
    [user] = re.findall(r"--uid (\d+)", dockerfile)
    scratch = [m for s in found.values() for m in s.get("tmpfs", []) if "/scratch" in m]
    assert set(scratch) == {f"/scratch:uid={user},gid={user},mode=0700"}
    # reports as PDF, with the emoji of titles
    for part in ("--extra pdf", "libpangoft2-1.0-0", "fonts-noto-color-emoji"):
        assert part in dockerfile, part
    sent = (ROOT / ".dockerignore").read_text("utf-8")
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    assert all(f"!{file}\n" in sent for files in copied for file in files.split())


def test_every_file_that_is_mounted_is_there_and_grafana_finds_the_dashboard() -> None:
    found = services(FILLED)
    mounted = {
        target: DEPLOY / source
        for service in found.values()
        for source, _, target in (
            volume.removesuffix(":ro").partition(":")
            for volume in service.get("volumes", [])
        )
        if source.startswith("./")
    }
    provisioned = mounted["/etc/grafana/provisioning"]
    [[providers]] = map(documents, (provisioned / "dashboards").iterdir())
    [[sources]] = map(documents, (provisioned / "datasources").iterdir())
    [provider], [source] = providers["providers"], sources["datasources"]

    assert all(path.exists() for path in mounted.values())
    home = Path(
        found["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    )
    assert home.parent == Path(provider["options"]["path"])
    assert mounted[str(home)].name == "nexus-actors.json"
    assert source["isDefault"]
    assert source["url"] == "http://prometheus:9090"
    assert found["prometheus"]["ports"] == ["127.0.0.1:9090:9090"]


@pytest.fixture
def machine(
    tmp_path: Path, s3_server: S3Server, postgresql: PostgreSQL
) -> Iterator[Machine]:
    written = f"postgresql://nexus:{FILLED['POSTGRES_PASSWORD']}@postgres:5432/nexus"
    given = {
        written: postgresql.create(),
        "http://s3:5000": s3_server.url,
        "http://127.0.0.1:5000": s3_server.url,
        "PGHOST": str(postgresql.folder),
    }
    machine = Machine(tmp_path, dict(FILLED), given)
    yield machine
    machine.close()


def test_the_commands_of_the_file_are_the_whole_system(
    machine: Machine, s3_server: S3Server, tmp_path: Path
) -> None:
    redis = machine.start(
        "redis", "--port", "{port}", "--bind", "127.0.0.1", "--dir", str(tmp_path)
    )
    machine.wait_for(redis)
    for name in ("db-upgrade", "s3-bucket"):
        machine.finish(name)
    film = make_clip(tmp_path / "film.mp4", size="320x180", seconds=1)
    s3_server.s3.upload_file(str(film), "media", "videos/incoming/film.mp4")

    names = [name for name, _ in WORKERS.values()]
    workers = {name: machine.start(name) for name in names}
    exporter = machine.start("exporter")
    dashboard = machine.start("dashboard")
    second = machine.start("video-processor")  # --scale video-processor=2
    prometheus = start_prometheus(machine) if has("prometheus") else None
    for container in (*workers.values(), second, exporter, dashboard):
        machine.wait_for(container)

    first = process(machine, workers["video-processor"], "film-1")
    with urlopen(first["outputs"]["hls"]["master"]["url"], timeout=20) as answer:
        assert answer.read().startswith(b"#EXTM3U")
    assert workers["video-processor"].stop() == 0
    assert not machine.is_well(workers["video-processor"])
    assert set(re.findall(r"/queues/([\w-]+)", visit(dashboard, "workers"))) == QUEUES
    assert process(machine, second, "film-2")["status"] == "succeeded"

    if prometheus:
        targets = {f"127.0.0.1:{c.port}" for c in (exporter, second)}
        targets |= {f"127.0.0.1:{workers[name].port}" for name in names[1:]}
        until(lambda: targets == up(prometheus))
        assert len(ask(prometheus, "rules")["groups"]) == 1
        for query in scaling_queries():
            until(partial(is_zero, prometheus, query))
    rest = [second, dashboard, *(workers[name] for name in names[1:])]
    for container in rest:
        container.process.terminate()
    assert [container.process.wait(60) for container in rest] == [0] * len(rest)


def visit(dashboard: Container, page: str) -> str:
    """Return a page of the dashboard, which is shown to who knows the password."""
    login = ("anybody", FILLED["DASHBOARD_PASSWORD"])
    shown = requests.get(
        f"http://127.0.0.1:{dashboard.port}/{page}", auth=login, timeout=20
    )
    assert shown.status_code == 200
    return shown.text


def process(machine: Machine, container: Any, video_id: str) -> dict[str, Any]:
    """Send a film as the how-to does, from a worker's container."""
    body = {"input_path": "s3://media/videos/incoming/film.mp4", "options": VIDEO}
    text = json.dumps({"video_id": video_id, **body})
    command = ["nexus-actors", "send", "process_video", "--json", text, "--wait"]
    printed: dict[str, Any] = json.loads(machine.execute(container, *command))
    return printed


def start_prometheus(machine: Machine) -> int:
    """Start it with the file's configuration, which names ports in place of hosts."""
    [config] = copy.deepcopy(documents(DEPLOY / "prometheus" / "compose.yml"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    for job in config["scrape_configs"]:
        hosts = [name for asked in job.pop("dns_sd_configs") for name in asked["names"]]
        targets = [f"127.0.0.1:{c.port}" for h in hosts for c in machine.running[h]]
        job["static_configs"] = [{"targets": targets}]
    folder = machine.folder / "config"
    folder.mkdir()
    mounted = []
    for volume in machine.services["prometheus"]["volumes"]:
        source, target, *_ = volume.split(":")
        if source.startswith("./"):
            file = folder / Path(target).name
            file.write_bytes((DEPLOY / source).read_bytes())
            source = str(file)
        mounted.append(f"{source}:{target}")
    (folder / "prometheus.yml").write_text(json.dumps(config), "utf-8")  # YAML, too
    machine.services["prometheus"]["volumes"] = mounted
    return machine.start("prometheus", "--web.listen-address=127.0.0.1:{port}").port


def ask(port: int, path: str) -> Any:
    with urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=20) as answer:
        return json.load(answer)["data"]


def is_zero(port: int, query: str) -> bool:
    """Tell whether a query has one answer, as KEDA needs it, and that is 0."""
    [found] = ask(port, f"query?query={query}")["result"]
    return float(found["value"][1]) == 0


def up(port: int) -> set[str]:
    """Return the addresses that Prometheus has asked, and that have answered."""
    try:
        targets = ask(port, "targets")["activeTargets"]
    except URLError:
        return set()
    return {
        urlsplit(one["scrapeUrl"]).netloc for one in targets if one["health"] == "up"
    }


def scaling_queries() -> list[str]:
    """Return what KEDA is to ask for the backlog."""
    scaled = documents(DEPLOY / "kubernetes" / "autoscaling.yaml")
    return [quote(one["spec"]["triggers"][0]["metadata"]["query"]) for one in scaled]
