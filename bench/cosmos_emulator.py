"""What a stored event costs the Cosmos emulator: CPU time a document, at 10 thousand and at more stored documents.

    python bench/cosmos_emulator.py --documents 2000000

Writes transactional batches over plain HTTP, so that the client's own work does not slow the emulator down, and reads
the emulator's CPU time from ``/proc``: everything counts, checkpoints and merges too.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hmac
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote

PARTITIONS = 18
CONNECTIONS = 4


class Client:
    """Signed requests over one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: bytes) -> None:
        self._reader, self._writer, self._key = reader, writer, key

    async def request(self, method: str, path: str, link: tuple[str, str], body: bytes, **headers: str) -> bytes:
        """Send one request and return the answer's body; fails on anything but success."""
        date = formatdate(usegmt=True)
        payload = f"{method.lower()}\n{link[0]}\n{link[1]}\n{date.lower()}\n\n"
        signature = base64.b64encode(hmac.digest(self._key, payload.encode(), "sha256")).decode()
        lines = {
            "host": "localhost",
            "x-ms-date": date,
            "authorization": quote(f"type=master&ver=1.0&sig={signature}", safe=""),
            "content-length": str(len(body)),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._writer.write(head.encode() + b"\r\n" + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(answer.partition("content-length: ")[2].partition("\r\n")[0] or 0)
        content = await self._reader.readexactly(length)
        if not answer.startswith(("http/1.1 200", "http/1.1 201")):
            raise RuntimeError(f"{answer.splitlines()[0]}: {content[:300]!r}")
        return content


def batch(partition: str, count: int, size: int) -> bytes:
    """A transactional batch that creates ``count`` documents of about ``size`` bytes."""
    padding = "x" * max(0, size - 260)
    operations = [
        {
            "operationType": "Create",
            "resourceBody": {
                "id": str(uuid.uuid4()),
                "partitionKey": partition,
                "type": "purchase",
                "tenantId": "acme",
                "userId": f"user-{uuid.uuid4().hex[:8]}",
                "amount": 11.77,
                "receivedAt": "2026-01-01T00:00:00.000Z",
                "padding": padding,
            },
        }
        for _ in range(count)
    ]
    return json.dumps(operations, separators=(",", ":")).encode()


def cpu_seconds(process: int) -> float:
    """User and system time that a process and its threads have used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(process: int) -> float:
    """Memory that a process occupies."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def fill(clients: list[Client], count: int, *, batch_size: int, size: int, minimal: bool) -> None:
    """Write ``count`` documents."""
    remaining = iter(range(0, count, batch_size))
    prefer = {"prefer": "return=minimal"} if minimal else {}

    async def work(client: Client) -> None:
        for position in remaining:
            partition = f"acme:2026-{position // batch_size % PARTITIONS:02}"
            await client.request(
                "POST",
                "/dbs/bench/colls/events/docs",
                ("docs", "dbs/bench/colls/events"),
                batch(partition, batch_size, size),
                x_ms_cosmos_is_batch_request="true",
                x_ms_cosmos_batch_atomic="true",
                x_ms_documentdb_partitionkey=json.dumps([partition]),
                **prefer,
            )

    await asyncio.gather(*[work(client) for client in clients])


async def run(arguments: argparse.Namespace, process: int, port: int, key: bytes) -> None:
    """Fill up to each mark and print what the last part cost."""
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
    clients = [Client(reader, writer, key) for reader, writer in streams]
    await clients[0].request("POST", "/dbs", ("dbs", ""), b'{"id":"bench"}')
    container = {"id": "events", "partitionKey": {"paths": ["/partitionKey"], "kind": "Hash"}, "defaultTtl": 2592000}
    await clients[0].request("POST", "/dbs/bench/colls", ("colls", "dbs/bench"), json.dumps(container).encode())
    stored = 0
    while stored < arguments.documents:
        step = min(arguments.step if stored else 10_000, arguments.documents - stored)
        cpu, wall = cpu_seconds(process), time.perf_counter()
        await fill(clients, step, batch_size=arguments.batch, size=arguments.size, minimal=arguments.minimal)
        stored += step
        cost = (cpu_seconds(process) - cpu) / step * 1e6
        rate = step / (time.perf_counter() - wall)
        print(
            f"{stored:>9} stored: {cost:5.1f} us CPU a document, {rate:6.0f}/s, {resident_megabytes(process):4.0f} MB"
        )
    for _, writer in streams:
        writer.close()


def main() -> None:
    """Start an emulator in a directory of its own and measure it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--step", type=int, default=100_000, help="documents between two lines")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--size", type=int, default=600, help="bytes a document")
    parser.add_argument("--minimal", action="store_true", help="ask for answers without documents")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "cloudscale.emulators.cosmos", "--data-dir", directory, "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as emulator:
            port = int(emulator.stdout.readline().rpartition(":")[2]) if emulator.stdout else 0
            key = base64.b64decode((Path(directory) / "account.key").read_text())
            try:
                asyncio.run(run(arguments, emulator.pid, port, key))
            finally:
                emulator.terminate()


if __name__ == "__main__":
    main()
