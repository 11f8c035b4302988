"""What a person needs to see when a test of the cluster failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from e2e.cluster import Cluster

LOG_LINES = 40


def report(cluster: Cluster) -> str:
    """Pods, pipelines, events, and the last lines of every log of CloudScale's own."""
    sections = [
        _section(cluster, "get", "pods", "--all-namespaces", "--output=wide"),
        _section(cluster, "get", "evp,scaledobject,hpa", "--all-namespaces"),
        _section(cluster, "get", "evp", "--all-namespaces", "--output=jsonpath={range .items[*]}{.status}{'\\n'}{end}"),
        _section(cluster, "get", "events", "--all-namespaces", "--sort-by=.lastTimestamp", tail=60),
    ]
    pods = cluster.kubectl(
        "get",
        "pods",
        "--all-namespaces",
        "--selector=app.kubernetes.io/part-of=cloudscale",
        "--output=jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}{'\\n'}{end}",
    )
    for line in pods.splitlines():
        namespace, name = line.split()
        sections.append(_section(cluster, "logs", f"--tail={LOG_LINES}", name, namespace=namespace))
    return "\n".join(sections)


def _section(cluster: Cluster, *arguments: str, namespace: str = "default", tail: int | None = None) -> str:
    try:
        text = cluster.kubectl(*arguments, namespace=namespace)
    except AssertionError as error:
        # The report is about another failure: a part that cannot be had must not hide the rest.
        text = str(error)
    lines = text.splitlines()
    return "\n".join([f"$ kubectl {' '.join(arguments)}", *lines[-(tail or len(lines)) :], ""])
