"""Where a pipeline's pods run and as whom."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cloudscale.pipeline.fields import Model
from cloudscale.pipeline.roles import ClientId, IdentityRoles, Role

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
        ClientId | None,
        Meta(
            description="Client id of the managed identity of all roles that have none in `roleClientIds`; its "
            "federated credentials name the ServiceAccounts `NAME-pipeline` and `NAME-dashboard`. Needed with "
            "`queue.namespace` or `store.endpoint`, unless each role has its own."
        ),
    ] = None
    role_client_ids: Annotated[
        IdentityRoles,
        Meta(description="Client ids of managed identities of single roles, each with the rights of its role only."),
    ] = IdentityRoles()

    def client_id_of(self, role: Role) -> str | None:
        """The identity of one role, None where it has none."""
        own: str | None = getattr(self.role_client_ids, role)
        return own or self.client_id

    def has_its_own(self, role: Role) -> bool:
        """Whether a role has an identity that the others do not share."""
        return getattr(self.role_client_ids, role) is not None
