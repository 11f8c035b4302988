"""Credentials of single roles, for those who give each of them no more rights than it needs."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from cloudscale.pipeline.fields import Model, SecretKey

Role = Literal["ingestion", "worker", "dashboard", "follower", "operator"]
"""Who reaches the backends: the services, of which the follower writes the archive and sends to outlets, and the
operator with KEDA, which read how deep the queue is."""

ClientId = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", max_length=36)]


class QueueRoles(Model, frozen=True):
    """Service Bus connection strings of single roles."""

    ingestion: Annotated[SecretKey | None, Meta(description="Ingestion's connection string, whose key needs Send.")] = (
        None
    )
    worker: Annotated[
        SecretKey | None, Meta(description="The workers' connection string, whose key needs Listen and Send.")
    ] = None
    dashboard: Annotated[
        SecretKey | None,
        Meta(description="The dashboard's connection string, whose key needs Listen and Send, for dead letters."),
    ] = None
    operator: Annotated[
        SecretKey | None,
        Meta(
            description="The connection string with which operator and KEDA read the depth. On Azure a key needs "
            "Manage for that, with the emulator EntityRead is enough."
        ),
    ] = None


class StoreRoles(Model, frozen=True):
    """Cosmos DB connection strings of single roles."""

    ingestion: Annotated[
        SecretKey | None,
        Meta(description="Ingestion's connection string, whose key needs to read: it looks up who may send."),
    ] = None
    worker: Annotated[
        SecretKey | None, Meta(description="The workers' connection string, whose key needs to read and write.")
    ] = None
    dashboard: Annotated[
        SecretKey | None,
        Meta(description="The dashboard's connection string, whose key needs to read, and to write for admins."),
    ] = None
    follower: Annotated[
        SecretKey | None,
        Meta(
            description="The connection string of who writes the archive and sends to outlets, whose key needs to "
            "read, and to write its place."
        ),
    ] = None


class IdentityRoles(Model, frozen=True):
    """Azure identities of single roles."""

    ingestion: Annotated[
        ClientId | None,
        Meta(description="Ingestion's identity; its federated credential names the ServiceAccount `NAME-ingestion`."),
    ] = None
    worker: Annotated[
        ClientId | None,
        Meta(description="The workers' identity; its federated credential names the ServiceAccount `NAME-worker`."),
    ] = None
    dashboard: Annotated[
        ClientId | None,
        Meta(
            description="The dashboard's identity; its federated credential names the ServiceAccount `NAME-dashboard`."
        ),
    ] = None
    follower: Annotated[
        ClientId | None,
        Meta(
            description="The identity of who writes the archive and sends to outlets; its federated credential names "
            "the ServiceAccount `NAME-follower`."
        ),
    ] = None
    operator: Annotated[
        ClientId | None,
        Meta(
            description="The identity with which operator and KEDA read the depth; its federated credentials name the "
            "ServiceAccount `NAME-operator` and that of KEDA."
        ),
    ] = None
