"""NetworkPolicies: nothing is allowed but what the pipeline needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudscale_operator.kinds import NETWORK_POLICY, Manifest
from cloudscale_operator.names import (
    DASHBOARD,
    HTTP_PORT,
    INGESTION,
    METRICS_PORT,
    WORKER,
    object_name,
    selector_labels,
)
from cloudscale_operator.ports import named_ports

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.context import Context

DNS_PORT = 53
BACKEND_PORTS = (
    443,  # HTTPS: Cosmos DB, Service Bus management, Azure's identity endpoint
    5671,  # AMQP over TLS
    5672,  # AMQP of the emulator
    6379,  # Redis
    6380,  # Redis over TLS
    8081,  # Cosmos DB emulator
    8443,  # Service Bus management of the emulator, behind its Service's port 443
    10000,  # Azure Managed Redis
)
API_SERVER_PORTS = (443, 6443)
BACKENDS = "backends"
"""The policy that lets the pods out."""

Rule = dict[str, Any]


def build_network_policies(pipeline: EventPipeline, context: Context) -> list[Manifest]:
    """Deny everything, then allow DNS and the backends for all, and the way in for each role."""
    everyone = selector_labels(pipeline.metadata.name)
    policies = [
        _policy(pipeline, "default-deny", everyone, {"ingress": [], "egress": []}),
        _policy(pipeline, BACKENDS, everyone, {"egress": [_dns(), _ports(*_outward_ports(pipeline, context))]}),
        # Ingestion is the pipeline's way in, from wherever the cluster lets traffic come.
        _policy(pipeline, INGESTION, _role(pipeline, INGESTION), {"ingress": [_ports(HTTP_PORT)]}),
        _policy(pipeline, WORKER, _role(pipeline, WORKER), {"ingress": [_ports(METRICS_PORT) | _FROM_THE_CLUSTER]}),
    ]
    if pipeline.spec.dashboard.enabled:
        rules = {"ingress": [_ports(HTTP_PORT) | _FROM_THE_CLUSTER], "egress": [_ports(*API_SERVER_PORTS)]}
        policies.append(_policy(pipeline, DASHBOARD, _role(pipeline, DASHBOARD), rules))
    return policies


_FROM_THE_CLUSTER: Rule = {"from": [{"namespaceSelector": {}}]}


def _policy(pipeline: EventPipeline, part: str, pods: dict[str, str], rules: dict[str, list[Rule]]) -> Manifest:
    return {
        "apiVersion": NETWORK_POLICY.api_version,
        "kind": NETWORK_POLICY.kind,
        "metadata": {"name": object_name(pipeline.metadata.name, part)},
        "spec": {
            "podSelector": {"matchLabels": pods},
            "policyTypes": [direction.capitalize() for direction in rules],
            **{direction: allowed for direction, allowed in rules.items() if allowed},
        },
    }


def _role(pipeline: EventPipeline, component: str) -> dict[str, str]:
    return selector_labels(pipeline.metadata.name, component)


def _dns() -> Rule:
    return {"ports": [{"protocol": protocol, "port": DNS_PORT} for protocol in ("UDP", "TCP")]}


def _ports(*ports: int) -> Rule:
    return {"ports": [{"protocol": "TCP", "port": port} for port in ports]}


def _outward_ports(pipeline: EventPipeline, context: Context) -> list[int]:
    """The well-known ports of the backends, and those that the specification's addresses and its Secrets name."""
    addresses = filter(None, (pipeline.spec.store.endpoint, pipeline.spec.telemetry.tracing.endpoint))
    named = {port for address in addresses for port in named_ports(address)}
    return sorted({*BACKEND_PORTS, *named, *context.backend_ports})
