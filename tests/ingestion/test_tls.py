"""Ingestion behind TLS: which versions it speaks, and how it takes a renewed certificate."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.ingestion.client import page_view
from tests.servers.certificate import write_certificate
from tests.servers.ingestion import UNLIMITED, IngestionServer
from tests.servers.process import running
from tests.waiting import wait_until, wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.redis import RedisServer
    from tests.servers.servicebus import ServiceBusServer

BOUND = timedelta(seconds=120)
"""In which a changed certificate is shown."""


@dataclass
class TlsServer(IngestionServer):
    """A service that shows a certificate."""

    certificate: Path = field(default_factory=Path)

    def environment(self) -> dict[str, str]:
        """With the certificate's folder."""
        return {**super().environment(), "CLOUDSCALE_TLS_FOLDER": str(self.certificate)}

    def is_ready(self) -> bool:
        """Whether it takes events."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as plain, trusting().wrap_socket(plain) as found:
                found.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                return found.recv(100).startswith(b"HTTP/1.1 200 ")
        except OSError:
            return False

    def workers(self) -> set[str]:
        """The ids of the worker processes."""
        main = self.process.pid
        return set(Path(f"/proc/{main}/task/{main}/children").read_text().split())

    async def has_none_of(self, former: set[str]) -> bool:
        """Whether all these workers have ended."""
        return not self.workers() & former


def trusting() -> ssl.SSLContext:
    """A client that takes any certificate and looks at it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.fixture(scope="module")
def secured(
    broker: ServiceBusServer, cache_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TlsServer]:
    directory = tmp_path_factory.mktemp("tls")
    folder = directory / "certificate"
    write_certificate(folder, "first")
    spec = {"ingestion": {"rateLimits": UNLIMITED}}
    with running(TlsServer(directory / "server", broker, cache_server, spec, "tls", certificate=folder)) as server:
        yield server


def handshake(server: TlsServer, context: ssl.SSLContext) -> tuple[str | None, bytes | None]:
    """The version that was agreed on, and the certificate that was shown."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as plain, context.wrap_socket(plain) as found:
        return found.version(), found.getpeercert(binary_form=True)


def test_the_latest_version_is_preferred(secured: TlsServer) -> None:
    assert handshake(secured, trusting())[0] == "TLSv1.3"


def test_the_version_before_is_accepted(secured: TlsServer) -> None:
    context = trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert handshake(secured, context)[0] == "TLSv1.2"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_an_older_version_is_refused_by_the_server(secured: TlsServer) -> None:
    context = trusting()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        handshake(secured, context)


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Visitors:
    """Clients that send events without a pause, and what happened to them."""

    port: int
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    stopping: bool = False

    async def visit(self, *, keeps_connection: bool, pause_seconds: float) -> None:
        """Send events until told to stop."""
        connection: Connection | None = None
        while not self.stopping:
            try:
                if connection is None:
                    connection = await asyncio.open_connection("127.0.0.1", self.port, ssl=trusting())
                status, closes = await asyncio.wait_for(self._send(*connection), 30)
                assert status == 202, status
                self.answered += 1
                if closes or not keeps_connection:
                    connection[1].transport.abort()
                    connection = None
            except (OSError, EOFError, AssertionError, TimeoutError) as error:
                self.failures.append(repr(error))
                if connection is not None:
                    connection[1].transport.abort()
                connection = None
            await asyncio.sleep(pause_seconds)
        if connection is not None:
            connection[1].transport.abort()

    async def has_answered(self, count: int) -> bool:
        """Whether so many requests were answered."""
        return self.answered >= count

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, bool]:
        body = msgspec.json.encode(page_view())
        head = f"POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        writer.write(head.encode() + b"\r\n\r\n" + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        (length,) = [line for line in answer.split(b"\r\n") if line.startswith(b"content-length:")]
        await reader.readexactly(int(length.partition(b":")[2]))
        return int(answer.split()[1]), b"\r\nconnection: close" in answer


@pytest.mark.fault
@pytest.mark.timeout(300)
async def test_a_renewed_certificate_is_shown_and_no_request_fails_meanwhile(secured: TlsServer) -> None:
    visitors = Visitors(secured.port)
    tasks = [
        asyncio.create_task(visitors.visit(keeps_connection=keeps, pause_seconds=pause))
        for keeps, pause in [(True, 0.02), (True, 0.4), (False, 0.02), (False, 0.05)]
    ]
    former = secured.workers()
    renewed = write_certificate(secured.certificate, "second")

    async def is_shown() -> bool:
        shown = await asyncio.gather(*(asyncio.to_thread(handshake, secured, trusting()) for _ in range(5)))
        return all(certificate == renewed for _, certificate in shown)

    await wait_until(is_shown, within=BOUND)
    # The worker that was replaced ends some seconds later.
    await wait_until(partial(secured.has_none_of, former), within=BOUND)
    await wait_until(partial(visitors.has_answered, visitors.answered + 50), within=BOUND)
    visitors.stopping = True
    await asyncio.gather(*tasks)
    assert visitors.failures == []


def test_a_renewed_certificate_that_cannot_be_used_is_not_shown(secured: TlsServer) -> None:
    _, shown = handshake(secured, trusting())
    (secured.certificate / "tls.key").write_text("no key")
    wait_until_sync(lambda: "a changed certificate is not used" in secured.log_file.read_text(), within=BOUND)
    assert handshake(secured, trusting())[1] == shown


def test_it_does_not_start_with_an_expired_certificate(
    broker: ServiceBusServer, cache_server: RedisServer, tmp_path: Path
) -> None:
    write_certificate(tmp_path / "certificate", "old", expires=timedelta(hours=-1))
    server = TlsServer(tmp_path, broker, cache_server, {}, "expired", certificate=tmp_path / "certificate")
    with pytest.raises(AssertionError, match=r"ingestion cannot start: the certificate in .* has expired"):
        server.start()
    assert server.process.wait(10) != 0
