"""What the store holds, read with the official SDK over a port-forward."""

from __future__ import annotations

import base64
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from azure.cosmos import CosmosClient
from azure.cosmos.exceptions import CosmosResourceNotFoundError
from e2e.cluster import NAMESPACE, Cluster, wait_until

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from azure.cosmos import ContainerProxy

PORT = 8081


@contextmanager
def opened(cluster: Cluster, container: str, *, namespace: str = NAMESPACE) -> Iterator[ContainerProxy]:
    """A container of the store, as long as the store's pod lives."""
    key = connection_value(cluster, "cloudscale-cosmos", "AccountKey", namespace=namespace)
    with cluster.forward("service/cosmos", PORT, namespace=namespace) as port:
        client = CosmosClient(
            f"http://127.0.0.1:{port}/", key, connection_verify=False, enable_endpoint_discovery=False
        )
        with client:
            yield client.get_database_client("EventsDb").get_container_client(container)


def stored(cluster: Cluster, container: str, *, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
    """Every document of a container; none when the container is not there yet."""
    with opened(cluster, container, namespace=namespace) as events:
        return _query(events, "SELECT * FROM c")


def wait_stored(
    cluster: Cluster, container: str, ids: Collection[str], *, namespace: str = NAMESPACE, seconds: float = 180
) -> None:
    """Wait until the container holds every id, and check that it holds each of them once.

    Raises:
        AssertionError: an event is missing at the end, or is there twice.
    """
    wanted, found = set(ids), list[str]()
    with opened(cluster, container, namespace=namespace) as events:

        def all_there() -> bool:
            # The ids only once there are enough of them: reading thousands again and again would slow down the rest.
            (count,) = _query(events, "SELECT VALUE COUNT(1) FROM c") or [0]
            if count >= len(wanted):
                found[:] = _query(events, "SELECT VALUE c.id FROM c")
            return wanted <= set(found)

        try:
            wait_until(f"all of {len(wanted)} events are in {container}", all_there, seconds=seconds, every_seconds=1)
        except AssertionError as error:
            missing = sorted(wanted - set(_query(events, "SELECT VALUE c.id FROM c")))
            raise AssertionError(f"{len(missing)} of {len(wanted)} events are missing: {missing[:10]}") from error
    assert len(found) == len(set(found)), "an event is stored twice"


def connection_value(cluster: Cluster, secret: str, key: str, *, namespace: str = NAMESPACE) -> str:
    """A part of the connection string in a Secret."""
    data = cluster.get(f"secret/{secret}", namespace=namespace)["data"]["connectionString"]
    parts = dict(part.split("=", 1) for part in base64.b64decode(data).decode().split(";") if part)
    return parts[key]


def _query(events: ContainerProxy, query: str) -> list[Any]:
    try:
        return list(events.query_items(query, enable_cross_partition_query=True))
    except CosmosResourceNotFoundError:
        return []
