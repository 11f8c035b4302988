"""Where a pipeline's pods run and as whom."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cloudscale.pipeline.fields import Model

_ANY_FIELDS = {"x-kubernetes-preserve-unknown-fields": True}


class Placement(Model, frozen=True):
    """Where the pipeline's pods may run."""

    node_selector: Annotated[
        dict[str, Annotated[str, Meta(max_length=63)]],
        Meta(description="Labels that a node must have.", max_length=64),
    ] = msgspec.field(default_factory=dict)
    affinity: Annotated[
        dict[str, Any],
        Meta(description="Affinity of every pod, as in a pod's specification.", extra_json_schema=_ANY_FIELDS),
    ] = msgspec.field(default_factory=dict)
    tolerations: Annotated[
        tuple[Annotated[dict[str, Any], Meta(extra_json_schema=_ANY_FIELDS)], ...],
        Meta(
            description="Tolerations of every pod, as in a pod's specification.",
            max_length=64,
            extra_json_schema={"x-kubernetes-list-type": "atomic"},
        ),
    ] = ()
    spread: Annotated[bool, Meta(description="Spread the replicas over zones and nodes.")] = True
    pin_to: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?(=[-A-Za-z0-9_.]*)?$", max_length=317)]
        | None,
        Meta(
            description="A node label (`key` or `key=value`): every pod runs on nodes that have it, and "
            "spreading is off."
        ),
    ] = None


class Identity(Model, frozen=True):
    """The Azure identity of the pods, for backends that are reached without a connection string."""

    client_id: Annotated[
        Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", max_length=36)] | None,
        Meta(
            description="Client id of the managed identity whose federated credential names the pipeline's "
            "ServiceAccount; needed with `queue.namespace` or `store.endpoint`."
        ),
    ] = None
