"""deploy/kubernetes: valid, consistent, and the same system as deploy/compose.yaml."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest

from composing import DEPLOY, FILLED, STORES, documents, services
from nexus_actors.app import WORKERS, actors_of


FOLDER = DEPLOY / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))

#: What the validator has no schemas of: Kubernetes does not know them by itself.
CUSTOM = {
    "kustomize.config.k8s.io/v1beta1": {"Kustomization"},
    "keda.sh/v1alpha1": {"ScaledObject"},
    "monitoring.coreos.com/v1": {"PodMonitor", "PrometheusRule"},
}


def of_kind(kind: str) -> Iterator[dict[str, Any]]:
    found = (document for file in FILES for document in documents(file))
    return (document for document in found if document["kind"] == kind)


def named(kind: str) -> dict[str, dict[str, Any]]:
    return {found["metadata"]["name"]: found for found in of_kind(kind)}


def pod_of(found: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = found["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_document_of_kubernetes_is_valid_by_its_schema(file: Any) -> None:
    version = kubernetes_validate.latest_version()
    for document in documents(file):
        if document["kind"] not in CUSTOM.get(document["apiVersion"], ()):
            kubernetes_validate.validate(document, version, strict=True)


def test_all_files_but_the_example_of_secrets_are_applied_together() -> None:
    [kustomization] = of_kind("Kustomization")
    others = {file.name for file in FILES} - {"kustomization.yaml"}

    assert set(kustomization["resources"]) == others - {"secrets.example.yaml"}
    images = {image["name"] for image in kustomization["images"]}
    pods = [pod_of(found) for kind in ("Deployment", "Job") for found in of_kind(kind)]
    assert {pod["containers"][0]["image"] for pod in pods} == images


def test_everything_that_compose_runs_of_ours_is_run_alike() -> None:
    ours = services(FILLED)
    pods = {
        name: pod_of(found)["containers"][0]
        for kind in ("Deployment", "Job")
        for name, found in named(kind).items()
    }

    assert len(pods) == len(WORKERS) + 3
    for name, container in pods.items():
        assert container["args"] == ours[name]["command"]
        assert container["image"] == ours[name]["build"]["target"]
        for variable in container.get("env", []):
            if variable["name"] == "HEALTH_CHECK_PORT":
                own = ours[name]["environment"]["HEALTH_CHECK_PORT"]
                assert variable["value"] == own
                assert container["ports"][0]["containerPort"] == int(own)


def test_the_workers_differ_in_what_they_run_and_need_and_in_nothing_else() -> None:
    common = []
    for name, _ in WORKERS.values():
        worker = copy.deepcopy(named("Deployment")[name])
        container = pod_of(worker)["containers"][0]
        for own in ("args", "env", "envFrom", "image", "ports", "resources"):
            container.pop(own)
        pod_of(worker)["volumes"][0]["emptyDir"].pop("sizeLimit")
        worker["metadata"].pop("name")
        for labels in ("selector", "template"):
            told = str(worker["spec"].pop(labels)).replace(name, "NAME")
            worker["spec"][labels] = told
        common.append(worker)

    assert all(worker == common[0] for worker in common)
    assert len({str(worker) for worker in common}) == 1


def test_what_the_pods_read_their_environment_from_is_there() -> None:
    config, secrets = named("ConfigMap"), named("Secret")

    for kind in ("Deployment", "Job"):
        for found in of_kind(kind):
            for source in pod_of(found)["containers"][0]["envFrom"]:
                known = config if "configMapRef" in source else secrets
                [reference] = source.values()
                assert reference["name"] in known
    read = {
        name: {next(iter(s.values()))["name"] for s in container["envFrom"]}
        for name, found in named("Deployment").items()
        for container in pod_of(found)["containers"]
    }
    opens_files_of_strangers = read["video-processor"]
    assert not opens_files_of_strangers & {
        "nexus-actors-database",
        "nexus-actors-vendors",
    }
    assert {name for name in read if "nexus-actors-storage" in read[name]} == STORES


def test_every_worker_is_scaled_by_the_backlog_of_its_own_queue() -> None:
    scaled = named("ScaledObject")

    assert scaled.keys() == {name for name, _ in WORKERS.values()}
    for domain, (name, _) in WORKERS.items():
        spec = scaled[name]["spec"]
        assert spec["scaleTargetRef"] == {"name": name}
        assert 1 <= spec["minReplicaCount"] < spec["maxReplicaCount"]
        [queue] = {actor.queue_name for actor in actors_of([domain])}
        for trigger in spec["triggers"]:
            about = trigger["metadata"]
            assert trigger["type"] == "prometheus"
            assert f'queue="{queue}"' in about["query"]
            assert float(about["threshold"]) > 0
            assert about["serverAddress"].startswith("http://")
        assert 'state=~"ready|in_flight"' in spec["triggers"][0]["metadata"]["query"]
        assert name in named("PodDisruptionBudget")


def test_the_alerts_are_those_of_the_rules_file() -> None:
    [rules] = documents(DEPLOY / "prometheus" / "nexus-actors.rules.yml")

    assert named("PrometheusRule")["nexus-actors"]["spec"] == rules


def test_the_monitor_looks_at_ports_that_the_pods_have() -> None:
    spec = named("PodMonitor")["nexus-actors"]["spec"]
    asked = {endpoint["port"] for endpoint in spec["podMetricsEndpoints"]}
    label = spec["selector"]["matchLabels"].items()

    ports = set()
    for found in of_kind("Deployment"):
        own = {p["name"] for p in pod_of(found)["containers"][0]["ports"]}
        is_asked = label <= found["spec"]["template"]["metadata"]["labels"].items()
        assert is_asked == (found["metadata"]["name"] != "dashboard")
        ports |= own if is_asked else set()
    assert ports == asked
