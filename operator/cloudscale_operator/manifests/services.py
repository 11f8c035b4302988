"""The Services in front of the pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cloudscale_operator.kinds import SERVICE, Manifest
from cloudscale_operator.names import object_name, selector_labels

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline


class WebPort(NamedTuple):
    """The port of a service that people and programs call: HTTP, or HTTPS where it has a certificate."""

    name: str
    number: int

    @classmethod
    def of(cls, tls_secret: str | None) -> WebPort:
        """The port of a service with this Secret, or without one."""
        return cls("https", 443) if tls_secret else cls("http", 80)


def build_service(pipeline: EventPipeline, component: str, ports: dict[str, tuple[int, int]]) -> Manifest:
    """A Service inside of the cluster; ``ports`` are port and pod port by the name that both have."""
    name = pipeline.metadata.name
    return {
        "apiVersion": SERVICE.api_version,
        "kind": SERVICE.kind,
        "metadata": {"name": object_name(name, component), "labels": selector_labels(name, component)},
        "spec": {
            "type": "ClusterIP",
            "selector": selector_labels(name, component),
            "ports": [
                {"name": port_name, "port": port, "targetPort": target, "protocol": "TCP", **_protocol(port_name)}
                for port_name, (port, target) in ports.items()
            ],
        },
    }


def _protocol(port_name: str) -> dict[str, Any]:
    """What tells proxies to speak TLS to the pods."""
    return {"appProtocol": "https"} if port_name == "https" else {}
