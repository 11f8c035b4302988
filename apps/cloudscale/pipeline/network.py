"""Who may connect to a pipeline's pods."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from cloudscale.pipeline.fields import Cidr, Model

EVERY_NAMESPACE = "*"
EVERY_ADDRESS = ("0.0.0.0/0", "::/0")

Namespace = Annotated[str, Meta(pattern=r"^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$", min_length=1, max_length=63)]
_SET = {"x-kubernetes-list-type": "set"}


class NetworkPolicy(Model, frozen=True):
    """Who may connect to the pipeline's pods, beside pods of its own namespace."""

    ingress_namespaces: Annotated[
        Annotated[tuple[Namespace, ...], Meta(max_length=64, extra_json_schema=_SET)] | None,
        Meta(
            description="Namespaces whose pods may reach ingestion and dashboard, as those of an Ingress controller or "
            "of other teams; `*` for every namespace. The namespace of `expose.gateway` is always one of them."
        ),
    ] = None
    ingress_networks: Annotated[
        tuple[Cidr, ...],
        Meta(
            description="Networks that may reach ingestion and dashboard, for what comes from no pod: a load balancer, "
            "or a node port.",
            max_length=64,
            extra_json_schema=_SET,
        ),
    ] = ()
    monitoring_namespaces: Annotated[
        tuple[Namespace, ...],
        Meta(
            description="Namespaces whose pods may reach every role: KEDA asks for the request rate, and Prometheus "
            "for metrics. Ingestion's are on the port of the events.",
            max_length=64,
            extra_json_schema=_SET,
        ),
    ] = ("keda", "monitoring")
