"""The files for containers and clusters: whole, consistent with the server, and with each other."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integrations.peers import ROOT
from tests.serving.conftest import Running, Serve

from avatar.serving.config import ENVIRONMENT_PREFIX, ServerConfig, load_config, parse_setting
from avatar.serving.metrics import PrometheusMetrics
from avatar.serving.probe import probe
from avatar.serving.server import SERVICE

DEPLOY = ROOT / "deploy"


@pytest.fixture(scope="module")
def things() -> dict[str, Any]:
    """Of the Kubernetes file, by kind."""
    text = (DEPLOY / "kubernetes" / "avatar.yaml").read_text()
    found = list(yaml.safe_load_all(text))
    assert all({"apiVersion", "kind", "metadata"} <= thing.keys() for thing in found)
    return {thing["kind"]: thing for thing in found}


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")


def settings_of(environment: dict[str, str], arguments: list[str]) -> ServerConfig:
    """What the server makes of them; an unknown name or an impossible value is an error."""
    assert set(arguments[::2]) <= {"--set"}
    return load_config(environment=environment, flags=dict(map(parse_setting, arguments[1::2])))


# ── Kubernetes ───────────────────────────────────────────────────────────────────────────────────


def test_all_that_a_deployment_needs_is_there(things: dict[str, Any]) -> None:
    assert things.keys() == {
        "Deployment", "PersistentVolumeClaim", "Service", "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
    }  # fmt: skip
    labels = things["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert things[kind]["spec"]["selector"]["matchLabels"] == labels
    assert things["Service"]["spec"]["selector"] == labels
    assert things["Service"]["spec"]["clusterIP"] == "None"


def test_a_pod_stays_until_its_sessions_have_ended(things: dict[str, Any]) -> None:
    pod = things["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    config = settings_of({}, container["args"])
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= pause + config.drain_seconds
    assert container["readinessProbe"]["grpc"]["service"] == SERVICE
    # A liveness probe that asks for health would kill a replica that drains.
    assert "grpc" not in container["livenessProbe"]


def test_the_autoscaler_looks_at_a_metric_that_exists(things: dict[str, Any]) -> None:
    (container,) = things["Deployment"]["spec"]["template"]["spec"]["containers"]
    pods = things["HorizontalPodAutoscaler"]["spec"]["metrics"][0]["pods"]
    metrics = PrometheusMetrics()
    metrics.session(1, video=False)
    assert pods["metric"]["name"] in {family.name for family in metrics.registry.collect()}
    config = settings_of({}, container["args"])
    assert int(pods["target"]["averageValue"]) < config.max_sessions
    rules = yaml.safe_load((DEPLOY / "kubernetes" / "prometheus-adapter.yaml").read_text())
    assert rules["rules"]["custom"][0]["name"]["as"] == pods["metric"]["name"]


def test_the_container_needs_no_rights_and_writes_nowhere(things: dict[str, Any]) -> None:
    pod = things["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_the_balancer_finds_the_replicas(things: dict[str, Any]) -> None:
    config = yaml.safe_load((DEPLOY / "envoy" / "envoy.yaml").read_text())
    cluster = config["static_resources"]["clusters"][0]
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    address = endpoint["endpoint"]["address"]["socket_address"]
    service = things["Service"]
    assert address["address"] == service["metadata"]["name"]
    assert address["port_value"] == service["spec"]["ports"][0]["port"]
    assert cluster["health_checks"][0]["grpc_health_check"]["service_name"] == SERVICE


# ── Docker ───────────────────────────────────────────────────────────────────────────────────────


def test_the_image_copies_files_that_exist(dockerfile: str) -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert {"src", "csrc", "pyproject.toml"} <= names
    for name in names:
        assert (ROOT / name).exists(), name


def test_the_image_runs_a_server_that_all_settings_fit(dockerfile: str) -> None:
    pairs = dict(re.findall(r"(AVATAR_SERVE_\w+)=(\S+)", dockerfile))
    assert all(key.startswith(ENVIRONMENT_PREFIX) for key in pairs)
    config = settings_of(pairs, [])
    exposed = re.search(r"^EXPOSE (.+)$", dockerfile, re.MULTILINE)
    assert exposed is not None
    assert exposed[1].split() == [str(config.port), str(config.metrics_port)]
    assert "\nUSER 10001\n" in dockerfile
    assert dockerfile.rstrip().endswith('ENTRYPOINT ["avatar", "serve"]')


def test_the_health_check_of_the_image_tells_a_server_that_drains(
    serve: Serve, dockerfile: str
) -> None:
    check = re.search(r'CMD \["python", (.+)\]', dockerfile)
    assert check is not None
    arguments = shlex.split(check[1].replace(",", " "))
    with serve(drain_seconds=5.0) as running:
        arguments[-1] = running.address
        command = [sys.executable, *arguments]
        assert subprocess.run(command, check=False, timeout=60).returncode == 0
        running.run(running.server.drain())
        assert subprocess.run(command, check=False, timeout=60).returncode == 1


def test_a_probe_over_tls(serve: Serve, tmp_path: Path) -> None:
    from tests.serving.certificates import Authority

    authority = Authority()
    signed = authority.sign("localhost")
    (tmp_path / "crt").write_bytes(signed.certificate)
    (tmp_path / "key").write_bytes(signed.key)
    tls = {"tls_cert": str(tmp_path / "crt"), "tls_key": str(tmp_path / "key")}
    with serve(**tls) as running:
        assert _probe(running, authority.root)
        assert not _probe(running, Authority().root)


def _probe(running: Running, root: bytes) -> bool:
    return probe(running.address, root_certificate=root)


def test_grpc_is_what_kubernetes_asks(server: Running) -> None:
    """Kubernetes asks the health service of gRPC without a token; so does the probe."""
    assert probe(server.address)
    assert not probe("127.0.0.1:1")
