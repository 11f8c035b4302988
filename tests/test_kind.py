"""The files of ``kind/``: what they say is valid without a cluster."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.absent_tools import needs

from cloudscale.pipeline import load

ROOT = Path(__file__).parent.parent
KIND = ROOT / "kind"


@pytest.mark.parametrize("file", ["sample.yaml", "bench.yaml"])
def test_a_pipeline_is_valid_and_has_a_node_port(file: str) -> None:
    pipeline, *services = yaml.safe_load_all((KIND / file).read_text())
    load(pipeline | {"metadata": pipeline["metadata"] | {"namespace": "demo"}})
    assert all(port["nodePort"] for service in services for port in service["spec"]["ports"])


def test_the_samples_node_ports_lead_to_this_machine() -> None:
    _pipeline, *services = yaml.safe_load_all((KIND / "sample.yaml").read_text())
    (control_plane,) = [
        node for node in yaml.safe_load((KIND / "cluster.yaml").read_text())["nodes"] if node["role"] == "control-plane"
    ]
    mapped = {mapping["containerPort"] for mapping in control_plane["extraPortMappings"]}
    ports = {port["nodePort"] for service in services for port in service["spec"]["ports"]}
    assert ports
    assert ports <= mapped
    for mapping in control_plane["extraPortMappings"]:
        assert mapping["listenAddress"] == "127.0.0.1"


@needs("promtool")
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


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone without a set-up script beside it; its tools write their command lines to ``calls`` and succeed."""
    clone = tmp_path / "clone"
    for folder in ("kind", ".ci"):
        shutil.copytree(ROOT / folder, clone / folder)
    (clone / "tools").mkdir()
    for tool in ("azurite-blob", "docker", "kind", "helm", "kubectl", "make", "chromium", "promtool", "wrk", "python3"):
        stub(clone, tool)
    return clone


def stub(checkout: Path, tool: str, failing: str = "") -> None:
    """Put a tool in place that fails when its command line holds ``failing``."""
    path = checkout / "tools" / tool
    fails = f'case "$*" in *"{failing}"*) exit 1 ;; esac\n' if failing else ""
    path.write_text(f'#!/bin/sh\necho "{tool} $*" >> {checkout}/calls\n{fails}')
    path.chmod(0o755)


def execute(checkout: Path, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the clone with these tools."""
    path = f"{checkout / 'tools'}:{os.environ['PATH']}"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CLOUDSCALE_")}
    return subprocess.run(
        [checkout / script, *arguments],
        env=clean | {"PATH": path} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def calls(checkout: Path) -> str:
    """Every command line so far."""
    return (checkout / "calls").read_text()


def test_keda_is_left_alone_where_it_works(checkout: Path) -> None:
    assert execute(checkout, "kind/keda.sh").returncode == 0
    assert "helm" not in calls(checkout)


def test_a_failed_installation_of_keda_is_repaired_by_the_next(checkout: Path) -> None:
    stub(checkout, "kubectl", failing="wait deployment --all")
    assert execute(checkout, "kind/keda.sh").returncode == 0
    assert re.search(r"helm .*upgrade --install keda keda .*--version [0-9.]+ ", calls(checkout))


def test_ci_runs_the_tests_on_a_cluster_where_everything_for_one_can_be_had(checkout: Path) -> None:
    assert execute(checkout, ".ci/run").returncode == 0
    assert "make e2e" in calls(checkout)


def test_ci_has_a_clusters_tools_before_the_tests_that_use_one_of_them(checkout: Path) -> None:
    setup = checkout / "set-up"
    setup.write_text(f'#!/bin/sh\necho "set-up" >> {checkout}/calls\n')
    setup.chmod(0o755)
    assert execute(checkout, ".ci/run", CLOUDSCALE_CLUSTER_SETUP=str(setup), CLOUDSCALE_E2E="0").returncode == 0
    done = calls(checkout)
    assert done.index("set-up") < done.index("make test")


def test_ci_measures_the_coverage_where_it_is_asked_for(checkout: Path) -> None:
    assert execute(checkout, ".ci/run", "coverage").returncode == 0
    assert "make coverage" in calls(checkout)
    assert execute(checkout, ".ci/run").returncode == 0
    assert calls(checkout).count("make coverage") == 1


def test_ci_makes_its_environments_with_the_oldest_pip_that_is_supported(checkout: Path) -> None:
    assert execute(checkout, ".ci/run").returncode == 0
    assert "make install install-dev WITH_PIP=23.0.1\n" in calls(checkout)


def test_ci_runs_one_part_alone(checkout: Path) -> None:
    assert execute(checkout, ".ci/run", "lint", "speed").returncode == 0
    assert calls(checkout).splitlines() == ["make lint", "make guard"]
    assert execute(checkout, ".ci/run", "cluster").returncode == 0
    assert calls(checkout).splitlines()[-1] == "make e2e"


def test_ci_refuses_a_part_that_it_does_not_have_before_it_runs_any(checkout: Path) -> None:
    done = execute(checkout, ".ci/run", "lint", "test")
    assert done.returncode == 2
    assert "there is no part test, only tools environments lint speed tests cluster" in done.stderr
    assert not (checkout / "calls").exists()


@pytest.mark.parametrize(
    ("python", "pip"), [("3.11", "23.0.1"), ("3.12", "23.2.1"), ("3.13", "24.2"), ("3.14", "25.2")]
)
def test_ci_makes_the_environments_of_each_python_with_the_oldest_pip_that_it_had(
    checkout: Path, python: str, pip: str
) -> None:
    (checkout / "tools" / "python3").write_text(f"#!/bin/sh\necho {python}\n")
    assert execute(checkout, ".ci/run", "environments").returncode == 0
    assert calls(checkout) == f"make install install-dev WITH_PIP={pip}\n"


def test_a_new_clusters_own_ports_are_printed(checkout: Path) -> None:
    tool = checkout / "tools" / "docker"
    tool.write_text(
        '#!/bin/sh\ncase "$*" in\n"port cloudscale-dev-control-plane 30080/tcp") echo 127.0.0.1:9180 ;;\n'
        '"port cloudscale-dev-control-plane 30081/tcp") echo 127.0.0.1:9181 ;;\nesac\n'
    )
    done = execute(checkout, "kind/up.sh")
    assert done.returncode == 0, done.stderr
    assert "Events     http://127.0.0.1:9180/api/events" in done.stdout
    assert "Dashboard  http://127.0.0.1:9181" in done.stdout
    assert "8080" not in done.stdout


@pytest.fixture
def worker(checkout: Path) -> Path:
    """A sample whose worker has the tenant acme and makes keys, and a ``cloudscale`` that tells what it is given."""
    (checkout / "tools" / "kubectl").write_text(
        f"""#!/bin/sh
echo "kubectl $*" >> {checkout}/calls
case "$*" in
*" tenants list --json") echo '[{{"kind":"tenant","id":"acme","createdAt":"2026-11-29T09:58:52Z"}}]' ;;
*" tenants create refused") echo "error: it cannot be reached" >&2; exit 1 ;;
*" tenants create "*) echo "created tenant" ;;
*" keys create "*) echo cs_AAAAAAAAAAAA_secret; echo "keep it now, it is not shown again" >&2 ;;
esac
"""
    )
    program = checkout / ".venv" / "bin" / "cloudscale"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$CLOUDSCALE_KEY"\nprintf "<%s>" "$@"\n')
    program.chmod(0o755)
    return checkout


@pytest.mark.parametrize(("tenant", "is_new"), [("acme", False), ("cme", True), ("cdnow", True)])
def test_a_command_gets_a_key_of_a_tenant_that_is_created_if_it_is_not_there(
    worker: Path, tenant: str, *, is_new: bool
) -> None:
    chosen = {} if tenant == "cdnow" else {"CLOUDSCALE_TENANT": tenant}
    done = execute(worker, "kind/with-key.sh", "events", "send", "a file", **chosen)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "cs_AAAAAAAAAAAA_secret\n<events><send><a file>"
    asked = "kubectl --context kind-cloudscale-dev --namespace cloudscale-demo exec deployment/sample-worker"
    made = f"{asked} -- cloudscale keys create --tenant {tenant} --name with-key.sh --expires 1h\n"
    assert made in calls(worker)
    assert (f"{asked} -- cloudscale tenants create {tenant}\n" in calls(worker)) is is_new


def test_a_command_is_not_run_without_the_key_for_it(worker: Path) -> None:
    done = execute(worker, "kind/with-key.sh", "events", "send", CLOUDSCALE_TENANT="refused")
    assert done.returncode != 0
    assert "it cannot be reached" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(("tool", "failing"), [("helm", "show chart keda"), ("docker", "info")])
def test_ci_leaves_them_out_elsewhere_unless_they_are_demanded(checkout: Path, tool: str, failing: str) -> None:
    stub(checkout, tool, failing=failing)
    done = execute(checkout, ".ci/run")
    assert done.returncode == 0, done.stderr
    assert "Tests on a cluster: left out" in done.stdout
    assert execute(checkout, ".ci/run", CLOUDSCALE_E2E="1").returncode == 1
    assert "make e2e" not in calls(checkout)


def test_one_version_of_keda_is_named_everywhere() -> None:
    (version,) = re.findall(r"^keda_version=(.+)$", (KIND / "environment.sh").read_text(), re.MULTILINE)
    (dependency,) = [
        each
        for each in yaml.safe_load((ROOT / "charts/cloudscale-keda/Chart.yaml").read_text())["dependencies"]
        if each["name"] == "keda"
    ]
    assert dependency["version"] == version
    for file in ("docs/azure.md", "charts/cloudscale/templates/NOTES.txt"):
        commands = re.findall(r"helm install keda keda .*", (ROOT / file).read_text())
        assert commands
        assert all(f"--version {version} " in command for command in commands), file
