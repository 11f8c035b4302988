"""The files of ``kind/``: what they say is valid without a cluster."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from cloudscale.pipeline import load

ROOT = Path(__file__).parent.parent
KIND = ROOT / "kind"


@pytest.mark.parametrize("file", ["sample.yaml", "bench.yaml"])
def test_a_pipeline_is_valid_and_its_node_port_leads_to_this_machine(file: str) -> None:
    pipeline, *services = yaml.safe_load_all((KIND / file).read_text())
    load(pipeline | {"metadata": pipeline["metadata"] | {"namespace": "demo"}})
    (control_plane,) = [
        node for node in yaml.safe_load((KIND / "cluster.yaml").read_text())["nodes"] if node["role"] == "control-plane"
    ]
    mapped = {mapping["containerPort"] for mapping in control_plane["extraPortMappings"]}
    ports = {port["nodePort"] for service in services for port in service["spec"]["ports"]}
    assert ports
    assert ports <= mapped
    for mapping in control_plane["extraPortMappings"]:
        assert mapping["listenAddress"] == "127.0.0.1"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus")
def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    text = (KIND / "prometheus/configuration.yaml").read_text()
    rules = ROOT / "docs/alerts/rules.yaml"
    configuration = tmp_path / "configuration.yaml"
    configuration.write_text(
        text.replace("PODS", "_http._tcp.a-pods.b.svc.cluster.local").replace("/etc/prometheus/rules.yaml", str(rules))
    )
    done = subprocess.run(
        ["promtool", "check", "config", str(configuration)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_runs_as_the_restricted_standard_asks() -> None:
    deployment, _service = yaml.safe_load_all((KIND / "prometheus/deployment.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("script", sorted(KIND.glob("*.sh")), ids=lambda path: path.name)
def test_a_script_can_be_parsed_by_a_plain_shell(script: Path) -> None:
    subprocess.run(["sh", "-n", str(script)], check=True, timeout=30)
