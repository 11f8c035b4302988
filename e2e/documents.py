"""What the store holds, read with the official SDK over a port-forward."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from azure.cosmos import CosmosClient
from azure.cosmos.exceptions import CosmosResourceNotFoundError
from e2e.cluster import NAMESPACE, Cluster, wait_until

if TYPE_CHECKING:
    from collections.abc import Collection

PORT = 8081


def stored(cluster: Cluster, container: str, *, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
    """Every document of a container; none when the container is not there yet."""
    key = connection_value(cluster, "cloudscale-cosmos", "AccountKey", namespace=namespace)
    with cluster.forward("service/cosmos", PORT, namespace=namespace) as port:
        client = CosmosClient(
            f"http://127.0.0.1:{port}/", key, connection_verify=False, enable_endpoint_discovery=False
        )
        with client:
            events = client.get_database_client("EventsDb").get_container_client(container)
            try:
                return list(events.query_items("SELECT * FROM c", enable_cross_partition_query=True))
            except CosmosResourceNotFoundError:
                return []


def wait_stored(
    cluster: Cluster, container: str, ids: Collection[str], *, namespace: str = NAMESPACE, seconds: float = 180
) -> None:
    """Wait until the container holds every id, and check that it holds each of them once.

    Raises:
        AssertionError: an event is missing at the end, or is there twice.
    """
    wanted, found = set(ids), list[str]()

    def all_there() -> bool:
        found[:] = [document["id"] for document in stored(cluster, container, namespace=namespace)]
        return wanted <= set(found)

    try:
        wait_until(f"all of {len(wanted)} events are in {container}", all_there, seconds=seconds, every_seconds=1)
    except AssertionError as error:
        missing = sorted(wanted - set(found))
        raise AssertionError(f"{len(missing)} of {len(wanted)} events are missing: {missing[:10]}") from error
    assert len(found) == len(set(found)), "an event is stored twice"


def connection_value(cluster: Cluster, secret: str, key: str, *, namespace: str = NAMESPACE) -> str:
    """A part of the connection string in a Secret."""
    data = cluster.get(f"secret/{secret}", namespace=namespace)["data"]["connectionString"]
    parts = dict(part.split("=", 1) for part in base64.b64decode(data).decode().split(";") if part)
    return parts[key]
