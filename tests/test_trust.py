"""Whose certificates the clients of the backends accept, with real TLS servers.

A public authority is made here and named by ``SSL_CERT_FILE``; the names of Azure are resolved to this machine.
"""

from __future__ import annotations

import gc
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus import ServiceBusMessage
from tests.servers.cosmos import cosmos_server
from tests.servers.servicebus import KEY_NAME, servicebus_server
from tests.servers.tls_relay import tls_relay

from cloudscale.emulators.servicebus.certificate import Certificate, issue
from cloudscale.errors import BackendUnavailableError, ConfigurationError
from cloudscale.pipeline import Queue, Store
from cloudscale.queue.administration import QueueAdministration
from cloudscale.queue.connection import broker_host, open_client, translated
from cloudscale.settings import Settings
from cloudscale.store.client import open_client as open_account
from cloudscale.trust import client_context, is_own_backend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.cosmos import CosmosServer
    from tests.servers.servicebus import ServiceBusServer

QUEUE = "trusted"
AZURE_BROKER = "shop.servicebus.windows.net"
AZURE_STORE = "shop.documents.azure.com"
LOOPBACK = "127.0.0.1"

# The SDK leaves a socket to the garbage collector when a connection cannot be opened.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collect_left_sockets() -> Iterator[None]:
    """Collect them in the test that left them, where the warning is expected."""
    yield
    gc.collect()


@dataclass(frozen=True)
class Certificates:
    """Certificates for the same names, by the public authority and by the one that came with the backends."""

    public: Certificate
    own: Certificate


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    names = (AZURE_BROKER, AZURE_STORE)
    return Certificates(*(issue(tmp_path_factory.mktemp(kind) / "tls", names) for kind in ("public", "own")))


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[ServiceBusServer]:
    options = ["--tls", f"--tls-certificate={certificates.public.certificate}"]
    with servicebus_server(tmp_path_factory.mktemp("azure"), queues=[QUEUE], options=options) as server:
        yield server


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[ServiceBusServer]:
    options = ["--tls", f"--tls-certificate={certificates.own.certificate}"]
    with servicebus_server(tmp_path_factory.mktemp("emulator"), queues=[QUEUE], options=options) as server:
        yield server


@pytest.fixture(scope="module")
def cosmos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CosmosServer]:
    with cosmos_server(tmp_path_factory.mktemp("cosmos")) as server:
        yield server


@pytest.fixture(autouse=True)
def public_authority(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.public.authority))


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """Resolves Azure's names to this machine. Put ports in here to reach others instead: the SDK knows 5671 only."""
    other: dict[int, int] = {}
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        host = LOOPBACK if host in {AZURE_BROKER, AZURE_STORE, "localhost"} else host
        return real(host, other.get(port, port), *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return other


def settings_for(server: ServiceBusServer, host: str, certificates: Certificates) -> Settings:
    return Settings(
        pipeline_file="",
        redis_url="",
        servicebus_connection_string=f"Endpoint=sb://{host}/;SharedAccessKeyName={KEY_NAME};SharedAccessKey={server.key}",
        servicebus_management_url=f"https://{host}:{server.management_port}",
        certificate_authority_file=str(certificates.own.authority),
    )


async def send(settings: Settings) -> None:
    with translated("send"):
        async with (
            open_client(Queue(name=QUEUE), settings, retries=0) as client,
            client.get_queue_sender(QUEUE) as sender,
        ):
            await sender.send_messages(ServiceBusMessage("sent"))


async def ensure_queue(settings: Settings) -> None:
    async with QueueAdministration(Queue(name=QUEUE), settings) as administration:
        assert await administration.ensure_queue() is False


async def read_account(cosmos: CosmosServer, host: str, *, shown: Certificate, trusted: Certificate) -> None:
    async with tls_relay(cosmos.port, shown.server_context()) as port:
        settings = Settings(
            pipeline_file="",
            redis_url="",
            cosmos_connection_string=f"AccountEndpoint=https://{host}:{port}/;AccountKey={cosmos.account_key}",
            certificate_authority_file=str(trusted.authority),
        )
        async with open_account(Store(), settings):
            pass


@pytest.mark.parametrize("call", [send, ensure_queue])
async def test_the_emulator_is_trusted_by_the_authority_that_it_came_with(
    call: Any, emulator: ServiceBusServer, certificates: Certificates, ports: dict[int, int]
) -> None:
    ports[5671] = emulator.port
    await call(settings_for(emulator, "localhost", certificates))


@pytest.mark.parametrize("host", [AZURE_BROKER, "localhost"])
@pytest.mark.parametrize("call", [send, ensure_queue])
async def test_a_broker_of_a_public_authority_is_trusted_while_the_backends_authority_is_still_there(
    call: Any, host: str, azure: ServiceBusServer, certificates: Certificates, ports: dict[int, int]
) -> None:
    ports[5671] = azure.port
    await call(settings_for(azure, host, certificates))


@pytest.mark.parametrize("call", [send, ensure_queue])
async def test_the_backends_authority_cannot_speak_for_a_broker_on_azure(
    call: Any, emulator: ServiceBusServer, certificates: Certificates, ports: dict[int, int]
) -> None:
    ports[5671] = emulator.port
    with pytest.raises(BackendUnavailableError, match=r"(?i)certificate.verify.failed"):
        await call(settings_for(emulator, AZURE_BROKER, certificates))


@pytest.mark.parametrize("host", [AZURE_STORE, LOOPBACK])
async def test_a_store_of_a_public_authority_is_trusted_while_the_backends_authority_is_still_there(
    host: str, cosmos: CosmosServer, certificates: Certificates, ports: dict[int, int]
) -> None:
    await read_account(cosmos, host, shown=certificates.public, trusted=certificates.own)


async def test_a_store_in_the_cluster_is_trusted_by_the_authority_that_it_came_with(
    cosmos: CosmosServer, certificates: Certificates
) -> None:
    await read_account(cosmos, LOOPBACK, shown=certificates.own, trusted=certificates.own)


async def test_the_backends_authority_cannot_speak_for_a_store_on_azure(
    cosmos: CosmosServer, certificates: Certificates, ports: dict[int, int]
) -> None:
    with pytest.raises(BackendUnavailableError, match=r"(?i)certificate.verify.failed"):
        await read_account(cosmos, AZURE_STORE, shown=certificates.own, trusted=certificates.own)


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "127.0.0.1", "127.1.2.3", "::1", "servicebus", "servicebus.shop", "SERVICEBUS.shop.svc"),
        *("servicebus.shop.svc", "servicebus.shop.svc.cluster.local", "cosmos.shop.svc"),
    ],
)
def test_a_backend_of_the_cluster_or_of_this_machine_may_have_its_own_authority(host: str) -> None:
    assert is_own_backend(host)


@pytest.mark.parametrize(
    "host",
    [
        *("", AZURE_BROKER, AZURE_STORE, "shop.redis.cache.windows.net", "10.0.0.4", "svc", "example.svc"),
        *("servicebus.shop.svc.attacker.example", "servicebus.shop.svc\n", "localhost.example.org", "a..svc"),
        *("servicebus.shop.svc.", "servicebus.example.org", "broker.example"),
    ],
)
def test_no_other_host_may(host: str) -> None:
    assert not is_own_backend(host)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        (f"Endpoint=sb://{AZURE_BROKER}/;SharedAccessKeyName=k;SharedAccessKey=c2Vj=", AZURE_BROKER),
        ("endpoint=sb://servicebus.shop.svc:5672;UseDevelopmentEmulator=true", "servicebus.shop.svc"),
        (f"Endpoint=sb://localhost;HostName=sb://{AZURE_BROKER}", AZURE_BROKER),
        ("Endpoint=sb://[broken;SharedAccessKey=a", ""),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_the_host_of_a_connection_string_is_the_one_that_the_sdk_connects_to(text: str, host: str) -> None:
    assert broker_host(text) == host


def test_without_a_replacement_the_public_authorities_are_there(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    alone = client_context(AZURE_BROKER, authority_file=str(certificates.own.authority))
    beside = client_context("localhost", authority_file=str(certificates.own.authority))
    assert len(alone.get_ca_certs()) > 50
    assert len(beside.get_ca_certs()) == len(alone.get_ca_certs()) + 1


def test_an_authority_that_is_renewed_in_its_file_is_read_anew(certificates: Certificates, tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    assert certificates.own.authority is not None
    file.write_bytes(certificates.own.authority.read_bytes())
    before = client_context("localhost", authority_file=str(file))
    assert client_context("localhost", authority_file=str(file)) is before
    renewed = issue(tmp_path / "renewed", ()).authority
    assert renewed is not None
    renewed.rename(file)
    assert client_context("localhost", authority_file=str(file)) is not before


@pytest.mark.parametrize("content", [None, "not PEM"])
def test_an_authority_that_cannot_be_read_says_which_file_and_setting(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError, match=r"ca\.crt cannot be used: .*CLOUDSCALE_CERTIFICATE_AUTHORITY_FILE"):
        client_context("localhost", authority_file=str(file))
