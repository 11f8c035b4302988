"""A dashboard that people sign in to, with a Redis of its own and neither a broker nor a store."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
from tests.servers.dashboard import DashboardServer
from tests.servers.process import running
from tests.servers.redis import redis_server

from cloudscale.local.ports import find_free_ports
from cloudscale.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

ROLES: list[dict[str, Any]] = [
    {"value": "watchers", "role": "viewer"},
    {"value": "operators", "role": "operator"},
    {"value": "admins", "role": "admin"},
    {"value": "contoso-team", "role": "operator", "tenants": ["contoso"]},
    {"value": "customers", "role": "viewer", "tenantsClaim": "tenant"},
]


@contextlib.contextmanager
def people_dashboard(
    directory: Path, issuer: str, *, secret: str = "", tokens: Sequence[dict[str, Any]] = (), **sign_in: object
) -> Iterator[DashboardServer]:
    """Run a dashboard whose people sign in with ``issuer``.

    Args:
        directory: for its files.
        issuer: the provider.
        secret: the client's secret; empty for a public client.
        tokens: access tokens beside.
        sign_in: further members of ``spec.dashboard.signIn``.
    """
    (port,) = find_free_ports("127.0.0.1", 1)
    spec: dict[str, Any] = {
        "issuer": issuer,
        "clientId": "dashboard",
        "origin": f"http://127.0.0.1:{port}",
        "roles": ROLES,
    } | sign_in
    if secret:
        spec["clientSecretRef"] = {"name": "client", "key": "secret"}
        (directory / "client-secret").write_text(secret + "\n")
    document = {
        "apiVersion": "cloudscale.io/v1alpha1",
        "kind": "EventPipeline",
        "metadata": {"name": "people"},
        "spec": {"dashboard": {"signIn": spec}},
    }
    (directory / "pipeline.json").write_bytes(msgspec.json.encode(document))
    with redis_server(directory / "redis") as redis:
        settings = Settings(
            pipeline_file=str(directory / "pipeline.json"),
            redis_url=redis.url,
            dashboard_client_secret_file=str(directory / "client-secret") if secret else "",
        )
        with running(DashboardServer(directory / "dashboard", settings, tokens, port=port)) as server:
            yield server
