"""The cluster under test, driven by the command lines that its users type."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_kind import KindCluster

ROOT = Path(__file__).parent.parent
NAMESPACE = "cloudscale-demo"
OPERATOR_NAMESPACE = "cloudscale"
IMAGE = os.environ.get("CLOUDSCALE_IMAGE", "cloudscale:e2e")
"""What is built from this checkout and tested."""
SAMPLE_NODE_PORT = 30080
"""Of the sample's ingestion, in ``kind/sample.yaml``."""
PIPELINE_LABEL = "app.kubernetes.io/instance"
COMPONENT_LABEL = "app.kubernetes.io/component"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cluster:
    """A kind cluster in which CloudScale is installed."""

    kind: KindCluster
    image: str
    directory: Path = ROOT
    """The checkout whose scripts and charts are used."""

    @property
    def environment(self) -> dict[str, str]:
        """For the scripts in ``kind/``: they work on this cluster, not on the developer's."""
        return os.environ | {
            "KUBECONFIG": str(Path(self.kind.kubeconfig_path).resolve()),
            "CLOUDSCALE_CLUSTER": self.kind.name,
            "CLOUDSCALE_NAMESPACE": NAMESPACE,
            "CLOUDSCALE_IMAGE": self.image,
        }

    def run(self, *command: str, stdin: str | None = None, timeout: float = 600, **environment: str) -> str:
        """Run a command; its output.

        Raises:
            AssertionError: the command failed; the message is what it wrote.
        """
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=self.environment | environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def kubectl(self, *arguments: str, namespace: str = NAMESPACE, stdin: str | None = None) -> str:
        """Run kubectl in a namespace; its output."""
        return self.run("kubectl", "--namespace", namespace, *arguments, stdin=stdin)

    def get(self, what: str, *arguments: str, namespace: str = NAMESPACE) -> dict[str, Any]:
        """An object, or a list of objects, as the API server has it."""
        answer: dict[str, Any] = json.loads(self.kubectl("get", what, *arguments, "--output=json", namespace=namespace))
        return answer

    def exists(self, what: str, *, namespace: str = NAMESPACE) -> bool:
        """Whether ``what`` (``deployment/x``) is there."""
        return bool(self.kubectl("get", what, "--ignore-not-found", "--output=name", namespace=namespace).strip())

    def apply(self, *documents: dict[str, Any], namespace: str = NAMESPACE) -> None:
        """``kubectl apply`` of manifests."""
        listing = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        self.kubectl("apply", "--filename=-", namespace=namespace, stdin=json.dumps(listing))

    def pods(
        self, pipeline: str, component: str | None = None, *, namespace: str = NAMESPACE, leaving: bool = False
    ) -> list[dict[str, Any]]:
        """The pods of a pipeline, those on their way out only if asked for."""
        selector = f"{PIPELINE_LABEL}={pipeline}" + (f",{COMPONENT_LABEL}={component}" if component else "")
        found = self.get("pods", f"--selector={selector}", namespace=namespace)["items"]
        return [pod for pod in found if leaving or "deletionTimestamp" not in pod["metadata"]]

    def status(self, pipeline: str, *, namespace: str = NAMESPACE) -> dict[str, Any]:
        """The status of a pipeline, empty as long as the operator has written none."""
        status: dict[str, Any] = self.get(f"evp/{pipeline}", namespace=namespace).get("status", {})
        return status

    def is_true(self, pipeline: str, condition: str, *, namespace: str = NAMESPACE) -> bool:
        """Whether a condition of a pipeline holds."""
        conditions = self.status(pipeline, namespace=namespace).get("conditions", [])
        return any(each["type"] == condition and each["status"] == "True" for each in conditions)

    def wait_ready(self, pipeline: str, *, namespace: str = NAMESPACE, seconds: float = 180) -> float:
        """Wait until a pipeline is Ready; the seconds that it took."""
        return wait_until(
            f"{namespace}/{pipeline} is Ready",
            lambda: self.is_true(pipeline, "Ready", namespace=namespace),
            seconds=seconds,
        )

    def delete_operator(self) -> None:
        """Kill the operator's pod, without a chance to end in order."""
        selector = "--selector=app.kubernetes.io/name=cloudscale-operator"
        self.kubectl("delete", "pod", selector, "--grace-period=0", "--force", namespace=OPERATOR_NAMESPACE)

    def node_port(self, port: int) -> str:
        """The address on this machine that leads to a node port."""
        mapping = self.run("docker", "port", f"{self.kind.name}-control-plane", f"{port}/tcp")
        return mapping.splitlines()[0].strip()

    @contextmanager
    def forward(self, what: str, port: int, *, namespace: str = NAMESPACE) -> Iterator[int]:
        """A port of this machine that leads to a port of a Service or pod."""
        process = subprocess.Popen(
            ["kubectl", "--namespace", namespace, "port-forward", "--address=127.0.0.1", what, f":{port}"],
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            # As in: Forwarding from 127.0.0.1:40123 -> 8081
            first = process.stdout.readline()
            assert first.startswith("Forwarding from"), f"kubectl port-forward {what} {port} did not start"
            yield int(first.split()[2].rpartition(":")[2])
        finally:
            process.terminate()
            process.communicate(timeout=30)

    @contextmanager
    def ingestion(self, pipeline: str, *, namespace: str = NAMESPACE) -> Iterator[str]:
        """An address of this machine that leads to one ingestion pod of a pipeline, as long as that pod lives."""
        with self.forward(f"service/{pipeline}-ingestion", 80, namespace=namespace) as port:
            yield f"127.0.0.1:{port}"


def wait_until(what: str, condition: Callable[[], bool], *, seconds: float, every_seconds: float = 0.5) -> float:
    """Wait for a condition and say so; the seconds that it took.

    Raises:
        AssertionError: the condition did not come true in time.
    """
    log.info("waiting until %s", what)
    start = time.monotonic()
    while not condition():
        passed = time.monotonic() - start
        assert passed < seconds, f"after {passed:.0f} s still not true: {what}"
        time.sleep(every_seconds)
    passed = time.monotonic() - start
    log.info("%s: took %.1f s", what, passed)
    return passed


def configuration(directory: Path) -> Path:
    """A file with ``kind/cluster.yaml`` that has free ports of this machine instead of fixed ones."""
    config = yaml.safe_load((ROOT / "kind/cluster.yaml").read_text())
    for node in config["nodes"]:
        for mapping in node.get("extraPortMappings", []):
            mapping["hostPort"] = 0
    path = directory / "cluster.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def program(name: str) -> Path:
    """Where a program is that the tests cannot do without."""
    found = shutil.which(name)
    assert found is not None
    return Path(found)


def node_image() -> str | None:
    """The node image that is here already; None leaves it to kind, which needs a registry for it."""
    listing = subprocess.run(
        ["docker", "image", "ls", "kindest/node", "--format", "{{.Repository}}:{{.Tag}}"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    return next((line for line in listing.splitlines() if "<none>" not in line), None)
