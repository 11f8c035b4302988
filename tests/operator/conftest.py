"""The servers that a reconciler talks to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.operator.api_server import ApiServer, api_server
from tests.operator.harness import Harness, add_secret
from tests.servers.servicebus import ServiceBusServer, servicebus_server

from cloudscale_operator.api import KubernetesApi
from cloudscale_operator.depth import DepthReaders
from cloudscale_operator.entra import Entra, Identity, PipelineCredential
from cloudscale_operator.timing import Timing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceBusServer]:
    with servicebus_server(tmp_path_factory.mktemp("operator-broker")) as server:
        yield server


@pytest.fixture
def server(broker: ServiceBusServer) -> Iterator[ApiServer]:
    with api_server() as running:
        management = (
            f"Endpoint=sb://127.0.0.1:{broker.management_port};SharedAccessKeyName=RootManageSharedAccessKey;"
            f"SharedAccessKey={broker.key};UseDevelopmentEmulator=true"
        )
        add_secret(running, "cloudscale-servicebus", connectionString=management)
        add_secret(
            running, "cloudscale-cosmos", connectionString="AccountEndpoint=http://cosmos:8081/;AccountKey=YQ==;"
        )
        add_secret(running, "cloudscale-redis", url="redis://redis:6379/0")
        authority = Path(str(broker.certificate_authority)).read_text()
        add_secret(running, "cloudscale-backends-ca", **{"ca.crt": authority})
        running.store("/api/v1/namespaces/shop", {"kind": "Namespace", "status": {"phase": "Active"}})
        yield running


@pytest.fixture
def timing() -> Timing:
    """The intervals of the reconciler; a test that needs others is parametrized with them."""
    return Timing()


@pytest.fixture
async def harness(server: ApiServer, tmp_path: Path, timing: Timing) -> AsyncIterator[Harness]:
    async with KubernetesApi(server.client()) as api:
        entra = Entra(tenant_id="", authority_host="https://127.0.0.1/")

        def credential(identity: Identity) -> PipelineCredential:
            return PipelineCredential(api, entra, identity)

        async with DepthReaders(lambda _: None, directory=tmp_path, credential=credential) as readers:
            yield Harness(server, api, readers, timing=timing)
