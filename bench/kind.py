"""``python -m bench.kind``: a scenario against a pipeline on one node of a kind cluster, driven from this machine.

The pipeline and its backends are pinned to one node (``placement.pinTo``), so the figures differ from those of
``cloudscale run`` by the cluster alone: its network, and what its own processes take, which is recorded as the role
``cluster``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import machine, report
from bench.measurement import measure
from bench.pipeline import verified
from bench.scenarios import BY_NAME, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
CLUSTER = "cloudscale-bench"
NAMESPACE = "cloudscale-bench"
NODE_PORT = 30090
"""Of the Service in ``kind/bench.yaml``."""
SETUP_SECONDS = 1200
BACKENDS = {"servicebus": "broker", "cosmos": "store"}
"""Containers that the local measurements call otherwise."""
LARGE_MEGABYTES = 20
"""Processes of the cluster that hold less, such as shims, are not watched: they are many and do next to nothing."""


@dataclass(frozen=True)
class PinnedPipeline:
    """The pipeline in the cluster, with what a measurement asks of one; ``cluster`` are the cluster's own processes."""

    environment: dict[str, str]
    url: str
    cluster: list[int]

    def process_ids(self) -> dict[str, list[int]]:
        """Process ids by role, as this machine numbers them."""
        pods = json.loads(_kubectl(self.environment, "get", "pods", "--output=json"))["items"]
        found = {"cluster": self.cluster}
        for pod in pods:
            for container in pod["status"].get("containerStatuses", ()):
                inside = _processes_of(container["containerID"].rpartition("/")[2])
                # What a probe starts in the container is younger than the service, and not its child.
                service = min(inside)
                role = BACKENDS.get(container["name"], container["name"])
                found[role] = [service, *(each for each in inside if _parent(each) == service)]
        return found

    def verify(self, *, wait_seconds: int) -> dict[str, Any]:
        """The balance, as ``cloudscale verify --json`` prints it in a pod of the pipeline."""
        command = ["kubectl", *_context(), "exec", "deployment/bench-worker", "--", "cloudscale", "verify"]
        return verified(command, wait_seconds=wait_seconds, environment=self.environment)

    def set_faults(self, *, broker: dict[str, float], store: dict[str, float]) -> None:
        """Nothing, for the scenarios without faults; the others are measured without a cluster."""
        if broker or store:
            raise NotImplementedError("scenarios with faults are measured with `python -m bench run`")


@contextmanager
def pinned(_scenario: Scenario, _directory: Path) -> Iterator[PinnedPipeline]:
    """The pipeline of ``kind/bench.yaml``, anew in a cluster that is made when it is not there and stays afterwards."""
    environment = os.environ | {"CLOUDSCALE_CLUSTER": CLUSTER, "CLOUDSCALE_NAMESPACE": NAMESPACE}
    subprocess.run(["kind/bench.sh"], cwd=ROOT, env=environment, check=True, timeout=SETUP_SECONDS)
    node = "{.items[0].status.addresses[?(@.type=='InternalIP')].address}"
    address = _kubectl(environment, "get", "nodes", f"--output=jsonpath={node}")
    pipeline = PinnedPipeline(environment, f"http://{address}:{NODE_PORT}", [])
    services = {each for ids in pipeline.process_ids().values() for each in ids}
    yield replace(pipeline, cluster=[each for each in _cluster_processes() if each not in services])
    # The next run starts with empty backends, as each does without a cluster.
    _kubectl(environment, "delete", "namespace", NAMESPACE)


def main() -> int:
    """Measure and record; 1 if a bound was broken."""
    parser = argparse.ArgumentParser(prog="python -m bench.kind", description="Measure the pipeline on a kind cluster.")
    parser.add_argument("--rate", type=int, help="requests a second instead of the scenario's, to try; not recorded")
    parser.add_argument("--seconds", type=int, help="how long instead of the scenario's; not recorded")
    arguments = parser.parse_args()

    tried = {name: value for name, value in vars(arguments).items() if value is not None}
    if tried:
        tried["runs"] = 1
    scenario = replace(BY_NAME["sustained"], **tried)
    result = {**measure(scenario, pinned), "machine": machine.describe()}
    result |= {"scenario": report.ON_KIND, "title": f"{scenario.title}, on one node of a kind cluster"}
    print(json.dumps(result["median"], indent=2))
    failures = result["median"]["failures"]
    for failure in failures:
        print(failure)
    if not tried:
        (RESULTS / f"{report.ON_KIND}.json").write_text(json.dumps(result, indent=2) + "\n")
        report.write(RESULTS)
    return int(bool(failures))


def _context() -> list[str]:
    return ["--context", f"kind-{CLUSTER}", "--namespace", NAMESPACE]


def _kubectl(environment: dict[str, str], *arguments: str) -> str:
    return subprocess.run(
        ["kubectl", *_context(), *arguments], env=environment, capture_output=True, text=True, check=True, timeout=180
    ).stdout


def _processes_of(container: str) -> list[int]:
    """The processes of a container or node, by its id in their control group."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and container in (folder / "cgroup").read_text():
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return sorted(found)


def _cluster_processes() -> list[int]:
    """The large processes of the node."""
    nodes = subprocess.run(
        ["docker", "ps", "--quiet", "--no-trunc", "--filter", f"label=io.x-k8s.kind.cluster={CLUSTER}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.split()
    return [each for node in nodes for each in _processes_of(node) if _megabytes(each) >= LARGE_MEGABYTES]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _parent(process_id: int) -> int:
    return int(_content(Path(f"/proc/{process_id}/stat")).rpartition(b")")[2].split()[1])


def _megabytes(process_id: int) -> float:
    fields = _content(Path(f"/proc/{process_id}/statm")).split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20 if fields else 0.0


if __name__ == "__main__":
    sys.exit(main())
