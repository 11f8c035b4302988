"""NetworkPolicies: nothing is allowed but what the pipeline needs.

Ingestion and dashboard are reached from the pipeline's own namespace, from those that the resource names and from that
of its Gateway; every role also from those that read figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudscale.pipeline.network import EVERY_ADDRESS, EVERY_NAMESPACE
from cloudscale_operator.kinds import NETWORK_POLICY, Manifest
from cloudscale_operator.names import (
    DASHBOARD,
    FOLLOWER,
    HTTP_PORT,
    INGESTION,
    METRICS_PORT,
    OUTLETS,
    WORKER,
    object_name,
    selector_labels,
)
from cloudscale_operator.ports import named_ports

if TYPE_CHECKING:
    from collections.abc import Iterable

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
NAMESPACE_LABEL = "kubernetes.io/metadata.name"
BACKENDS = "backends"
"""The policy that lets the pods out."""

Rule = dict[str, Any]


def build_network_policies(pipeline: EventPipeline, context: Context) -> list[Manifest]:
    """Deny everything, then allow DNS and the backends for all, and the way in for each role."""
    everyone = selector_labels(pipeline.metadata.name)
    policies = [
        _policy(pipeline, "default-deny", everyone, {"ingress": [], "egress": []}),
        _policy(pipeline, BACKENDS, everyone, {"egress": [_dns(), _ports(*_outward_ports(pipeline, context))]}),
        _policy(pipeline, INGESTION, _role(pipeline, INGESTION), {"ingress": [_ports(HTTP_PORT) | _clients(pipeline)]}),
        _policy(pipeline, WORKER, _role(pipeline, WORKER), {"ingress": [_ports(METRICS_PORT) | _readers(pipeline)]}),
    ]
    if pipeline.spec.archive is not None:
        figures = {"ingress": [_ports(METRICS_PORT) | _readers(pipeline)]}
        policies.append(_policy(pipeline, FOLLOWER, _role(pipeline, FOLLOWER), figures))
    if pipeline.spec.outlets:
        # Nobody but this pod reaches the receivers, and it does not hold itself to the ports of the backends.
        ports = {port for outlet in pipeline.spec.outlets for port in named_ports(outlet.webhook.url)}
        rules = {"ingress": [_ports(METRICS_PORT) | _readers(pipeline)], "egress": [_ports(*sorted(ports))]}
        policies.append(_policy(pipeline, OUTLETS, _role(pipeline, OUTLETS), rules))
    if pipeline.spec.dashboard.enabled:
        rules = {"ingress": [_ports(HTTP_PORT) | _clients(pipeline)], "egress": [_ports(*API_SERVER_PORTS)]}
        policies.append(_policy(pipeline, DASHBOARD, _role(pipeline, DASHBOARD), rules))
    return policies


def _clients(pipeline: EventPipeline) -> Rule:
    policy, gateway = pipeline.spec.network_policy, pipeline.spec.expose.gateway
    namespaces = {*(policy.ingress_namespaces or ()), *policy.monitoring_namespaces, pipeline.metadata.namespace}
    if gateway and gateway.namespace:
        namespaces.add(gateway.namespace)
    return {"from": [*_namespaces(namespaces), *_networks(policy.ingress_networks)]}


def _readers(pipeline: EventPipeline) -> Rule:
    """Whoever reads figures."""
    namespaces = {*pipeline.spec.network_policy.monitoring_namespaces, pipeline.metadata.namespace}
    return {"from": list(_namespaces(namespaces))}


def _namespaces(names: set[str]) -> list[Rule]:
    if EVERY_NAMESPACE in names:
        return [{"namespaceSelector": {}}]
    return [{"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: name}}} for name in sorted(names)]


def _networks(networks: Iterable[str]) -> list[Rule]:
    # A network beside namespaces, as some clusters do not take their own pods for part of any.
    return [{"ipBlock": {"cidr": network}} for network in networks]


EVERYBODY = [*_namespaces({EVERY_NAMESPACE}), *_networks(EVERY_ADDRESS)]
"""The peers of a pipeline that admits everybody."""


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
    spec = pipeline.spec
    issuers = [each.issuer for each in spec.access.tokens]
    if spec.dashboard.sign_in:
        issuers.append(spec.dashboard.sign_in.issuer)
    addresses = filter(None, (spec.store.endpoint, spec.telemetry.tracing.endpoint, *issuers))
    named = {port for address in addresses for port in named_ports(address)}
    return sorted({*BACKEND_PORTS, *named, *context.backend_ports})
