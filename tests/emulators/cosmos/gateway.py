"""Requests to the emulator without an SDK, for what Python's does not send: other headers, other SDKs' features."""

from __future__ import annotations

import base64
import hmac
import http.client
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec
from tests.servers.answer import Answer

from cloudscale.emulators.cosmos.authorization import resource_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure.cosmos.aio import ContainerProxy

TIMEOUT_SECONDS = 30
CROSSING = {"x-ms-documentdb-isquery": "true", "x-ms-documentdb-query-enablecrosspartition": "true"}
# What the SDKs for Java and JavaScript announce, and Python's does not.
ALL_FEATURES = (
    "Aggregate, CompositeAggregate, Distinct, GroupBy, MultipleAggregates, MultipleOrderBy, NonValueAggregate, "
    "OffsetAndLimit, OrderBy, Top"
)


def send(
    container: ContainerProxy, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Answer:
    """A signed request for something in the container, such as ``docs``."""
    client = container.client_connection
    assert client.master_key is not None
    target = quote(f"/{container.container_link}/{path}")
    kind, link = resource_of(target)
    date = formatdate(usegmt=True)
    payload = f"{method.lower()}\n{kind}\n{link}\n{date.lower()}\n\n"
    signature = base64.b64encode(hmac.digest(base64.b64decode(client.master_key), payload.encode(), "sha256")).decode()
    authorization = quote(f"type=master&ver=1.0&sig={signature}", safe="")
    signed = {"x-ms-date": date, "authorization": authorization, **(headers or {})}
    connection = http.client.HTTPConnection(urlsplit(client.url_connection).netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, target, body, signed)
        response = connection.getresponse()
        content = response.read()
        received = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, received, content)
    finally:
        connection.close()


def ask(container: ContainerProxy, query: str, **headers: str) -> Answer:
    """A query as it goes to the gateway, over all partitions unless ``headers`` say otherwise."""
    dashed = {name.replace("_", "-"): value for name, value in headers.items()}
    return send(container, "POST", "docs", body=msgspec.json.encode({"query": query}), headers=CROSSING | dashed)


def plan(container: ContainerProxy, query: str, features: str = ALL_FEATURES, *, user_agent: str = "") -> Answer:
    """What the gateway answers to a client that says what it can merge."""
    return ask(
        container,
        query,
        x_ms_cosmos_is_query_plan_request="true",
        x_ms_cosmos_supported_query_features=features,
        user_agent=user_agent,
    )


def select_by_plan(container: ContainerProxy, query: str, *, page_size: int = 100) -> list[Any]:
    """All results, for a client that can merge everything and does as the plan says."""
    planned = plan(container, query)
    assert planned.status == 200, planned.body
    results: list[Any] = []
    continuation = ""
    while True:
        page = ask(
            container,
            planned.json["queryInfo"]["rewrittenQuery"],
            x_ms_documentdb_partitionkeyrangeid="0",
            x_ms_max_item_count=str(page_size),
            x_ms_continuation=continuation,
        )
        assert page.status == 200, page.body
        results += page.json["Documents"]
        continuation = page.headers.get("x-ms-continuation", "")
        if not continuation:
            return results
