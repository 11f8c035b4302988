"""Tokens of a pipeline's own identity, exchanged with a stand-in for Microsoft Entra over HTTPS."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest
from tests.operator.api_server import ApiServer, api_server
from tests.operator.examples import CLIENT_ID, SPECS, pipeline
from tests.waiting import wait_until

from cloudscale.emulators.servicebus.certificate import issue
from cloudscale.errors import ConfigurationError
from cloudscale.pipeline import Queue
from cloudscale_operator.api import ApiRefusalError, KubernetesApi
from cloudscale_operator.children import PipelineKey
from cloudscale_operator.depth import DepthReaders, Source
from cloudscale_operator.entra import Entra, Identity, PipelineCredential, identity_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCOPE = "https://servicebus.azure.net/.default"
IDENTITY = Identity("shop", "example-pipeline", CLIENT_ID)
WAIT = timedelta(seconds=10)


@dataclass
class Authority:
    """What was asked of it, as path and form."""

    entra: Entra
    asked: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    certificate = issue(tmp_path / "authority", [])
    with https_server(tmp_path) as (port, asked):
        options = (("connection_verify", str(certificate.authority)), ("disable_instance_discovery", True))
        yield Authority(Entra("a-tenant", f"https://127.0.0.1:{port}", options), asked)


@contextmanager
def https_server(directory: Path) -> Iterator[tuple[int, list[tuple[str, dict[str, list[str]]]]]]:
    asked: list[tuple[str, dict[str, list[str]]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            asked.append((self.path, parse_qs(form)))
            token = {"access_token": f"token {len(asked)}", "expires_in": 3600, "token_type": "Bearer"}
            body = json.dumps(token).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = issue(directory / "authority", []).server_context().wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with api_server() as running:
        yield running


async def test_a_token_of_the_pipelines_account_is_exchanged_for_one_of_its_identity(
    server: ApiServer, authority: Authority
) -> None:
    async with KubernetesApi(server.client()) as api, PipelineCredential(api, authority.entra, IDENTITY) as credential:
        first = await credential.get_token(SCOPE)
        again = await credential.get_token_info(SCOPE)
    assert (first.token, again.token) == ("token 1", "token 1")
    account = "/api/v1/namespaces/shop/serviceaccounts/example-pipeline/token"
    assert ("POST", account) in server.requests
    ((path, form),) = authority.asked
    assert path == "/a-tenant/oauth2/v2.0/token"
    assert form["client_id"] == [CLIENT_ID]
    assert form["client_assertion"] == ["token of example-pipeline for api://AzureADTokenExchange"]
    assert form["scope"] == [SCOPE]


async def test_no_token_is_asked_of_entra_without_one_of_the_account(server: ApiServer, authority: Authority) -> None:
    server.refusals["/serviceaccounts/"] = 403
    async with KubernetesApi(server.client()) as api, PipelineCredential(api, authority.entra, IDENTITY) as credential:
        with pytest.raises(ApiRefusalError, match="example-pipeline/token was answered with 403"):
            await credential.get_token(SCOPE)
    assert not authority.asked


async def test_an_operator_that_knows_no_tenant_says_so(server: ApiServer) -> None:
    async with KubernetesApi(server.client()) as api:
        with pytest.raises(ConfigurationError, match=r"azure\.tenantId"):
            PipelineCredential(api, Entra("", "https://127.0.0.1"), IDENTITY)


async def test_a_queue_without_connection_string_is_read_with_the_pipelines_token_alone(
    server: ApiServer, authority: Authority, tmp_path: Path
) -> None:
    # The namespace does not exist: the exchange comes before its name is looked up, or after; no other token is asked.
    source = Source(
        Queue(namespace="nowhere.invalid"),
        connection_string="",
        redis_url="",
        authority="",
        interval=timedelta(seconds=1),
        identity=IDENTITY,
    )
    key = PipelineKey("shop", "example")
    async with KubernetesApi(server.client()) as api:

        def credential(identity: Identity) -> PipelineCredential:
            return PipelineCredential(api, authority.entra, identity)

        async with DepthReaders(lambda _: None, directory=tmp_path, credential=credential) as readers:
            await readers.ensure(key, source)
            await wait_until(lambda: _now(bool(authority.asked) and readers.latest(key) is not None), within=WAIT)
    assert {form["client_id"][0] for _, form in authority.asked} == {CLIENT_ID}


async def test_a_queue_without_connection_string_and_identity_is_not_read_with_the_operators_token(
    tmp_path: Path,
) -> None:
    source = Source(
        Queue(namespace="nowhere.invalid"),
        connection_string="",
        redis_url="",
        authority="",
        interval=timedelta(seconds=60),
    )
    key = PipelineKey("shop", "example")
    async with DepthReaders(lambda _: None, directory=tmp_path) as readers:
        await readers.ensure(key, source)
        await wait_until(lambda: _now(readers.latest(key) is not None), within=WAIT)
        reading = readers.latest(key)
    assert reading is not None
    assert "neither a connection string nor an identity" in reading.error


def test_only_a_pipeline_without_connection_string_is_read_with_an_identity() -> None:
    assert identity_of(pipeline(SPECS["workload-identity"])) == IDENTITY
    assert identity_of(pipeline({})) is None
    of_the_operator = SPECS["identities-of-roles"]["identity"]["roleClientIds"]["operator"]
    assert identity_of(pipeline(SPECS["identities-of-roles"])) == Identity("shop", "example-operator", of_the_operator)


async def _now(value: bool) -> bool:
    return value
