"""What is really in the store of a running pipeline, read with the official SDK alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from azure.cosmos import CosmosClient

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloudscale.local.instance import Instance


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Figures of one tenant's purchases. ``profile_score`` is the sum over all its users' scores."""

    documents: int
    partitions: int
    amount: Decimal
    zero_amounts: int
    profiles: int
    profile_score: int


def facts_of_lines(lines: Iterable[bytes | str], *, points: int) -> Facts:
    """What the store should hold after these purchases, each worth ``points``."""
    events = [json.loads(line, parse_float=Decimal) for line in lines]
    amounts = [Decimal(event["amount"]) for event in events]
    return Facts(
        documents=len(events),
        partitions=len({event["createdAt"][:7] for event in events}),
        amount=sum(amounts, Decimal()),
        zero_amounts=sum(amount == 0 for amount in amounts),
        profiles=len({event["userId"] for event in events}),
        profile_score=points * len(events),
    )


def facts_of_store(instance: Instance, *, tenant_id: str) -> Facts:
    """What the store holds."""
    rows = documents(instance, "SELECT c.partitionKey, c.amount FROM c WHERE c.tenantId = @tenant", tenant_id=tenant_id)
    profiles = documents(
        instance, "SELECT c.userId, c.score FROM c WHERE c.tenantId = @tenant", tenant_id=tenant_id, suffix="-profiles"
    )
    amounts = [Decimal(str(row["amount"])) for row in rows]
    return Facts(
        documents=len(rows),
        partitions=len({row["partitionKey"] for row in rows}),
        amount=sum(amounts, Decimal()),
        zero_amounts=sum(amount == 0 for amount in amounts),
        profiles=len(profiles),
        profile_score=sum(profile["score"] for profile in profiles),
    )


def documents(instance: Instance, query: str, *, tenant_id: str, suffix: str = "") -> list[dict[str, Any]]:
    """Rows of a query over all partitions of the events' container, or the one with ``suffix`` added to its name."""
    store = instance.pipeline.spec.store
    with CosmosClient.from_connection_string(instance.settings.cosmos_connection_string) as client:
        container = client.get_database_client(store.database).get_container_client(store.container + suffix)
        parameters: list[dict[str, object]] = [{"name": "@tenant", "value": tenant_id}]
        return list(container.query_items(query, parameters=parameters, enable_cross_partition_query=True))
