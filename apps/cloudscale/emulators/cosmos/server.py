"""The process: opens the data directory, listens, removes expired documents, and stops cleanly."""

import asyncio
import fcntl
import gc
import os
import sqlite3
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from cloudscale.emulators import logs
from cloudscale.emulators.cosmos.account import DEFAULT_CONSISTENCY, DEFAULT_REGION, Account, ConsistencyLevel
from cloudscale.emulators.cosmos.authorization import Authorization, load_account_key
from cloudscale.emulators.cosmos.catalogue import Catalogue, prepare_file
from cloudscale.emulators.cosmos.emulator import Emulator
from cloudscale.emulators.cosmos.errors import StartupError
from cloudscale.emulators.cosmos.protocol import Connection
from cloudscale.emulators.cosmos.reaper import reap_regularly
from cloudscale.emulators.cosmos.routing import Router
from cloudscale.emulators.cosmos.storage import FsyncPolicy, Storage
from cloudscale.private_files import LOCK, PRIVATE_DIRECTORY, PRIVATE_FILE, make_private

DRAIN_SECONDS: Final = 5.0
COLLECT_AFTER_OBJECTS: Final = 20_000
_DATABASE: Final = "cosmos.sqlite"
_NAMES: Final = (LOCK, "account.key", _DATABASE, f"{_DATABASE}-wal", f"{_DATABASE}-shm")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How the emulator runs; see ``python -m cloudscale.emulators.cosmos --help``."""

    data_directory: Path
    host: str = "127.0.0.1"
    port: int = 8081
    account_key_file: Path | None = None
    read_only_key_file: Path | None = None
    advertised_host: str | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    fsync: FsyncPolicy = "interval"
    partition_ranges: int = 1
    enforce_throughput: bool = False
    region: str = DEFAULT_REGION
    consistency: ConsistencyLevel = DEFAULT_CONSISTENCY


def lock_directory(directory: Path) -> int:
    """Make the directory this process's own; returns the lock's descriptor, which is to be kept open."""
    try:
        directory.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        make_private(directory, names=_NAMES)
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
    except OSError as error:
        raise StartupError(f"Cannot use the data directory {directory}: {error.strerror}.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StartupError(f"The data directory {directory} is in use by another emulator: stop it first.") from error
    return descriptor


def _tls_context(settings: ServerSettings) -> ssl.SSLContext | None:
    if settings.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise StartupError(f"Cannot load the certificate {settings.tls_certificate}: {error}.") from error
    return context


async def serve(settings: ServerSettings, stop: asyncio.Event) -> None:
    """Run until ``stop`` is set; raises StartupError when the directory, the key or the port cannot be had.

    Any other error comes from the removal of expired documents, without which the server does not go on.
    """
    lock = lock_directory(settings.data_directory)
    try:
        key_file = settings.account_key_file or settings.data_directory / "account.key"
        authorization = Authorization(
            load_account_key(key_file, generate=settings.account_key_file is None),
            read_only_key=_read_only_key(settings.read_only_key_file),
        )
        tls = _tls_context(settings)
        path = settings.data_directory / _DATABASE
        storage, catalogue = _open(path, settings.fsync)
        try:
            emulator = Emulator(
                storage,
                catalogue,
                partition_ranges=settings.partition_ranges,
                enforce_throughput=settings.enforce_throughput,
                account=Account(
                    scheme="http" if tls is None else "https",
                    advertised_host=settings.advertised_host,
                    region=settings.region,
                    consistency=settings.consistency,
                ),
            )
            await _listen(settings, emulator, Router(emulator, authorization), tls, stop)
        finally:
            storage.close()
    finally:
        os.close(lock)


def _read_only_key(path: Path | None) -> str:
    return "" if path is None else load_account_key(path, generate=False)


def _open(path: Path, fsync: FsyncPolicy) -> tuple[Storage, Catalogue]:
    try:
        prepare_file(path)
        storage = Storage(path, fsync=fsync)
        try:
            return storage, Catalogue(storage)
        except BaseException:
            storage.close()
            raise
    except sqlite3.Error as error:
        raise StartupError(f"Cannot open {path}: {error}. Make room, or restore the file from a copy.") from error


async def _listen(
    settings: ServerSettings, emulator: Emulator, router: Router, tls: ssl.SSLContext | None, stop: asyncio.Event
) -> None:
    connections: set[Connection] = set()
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(
            lambda: Connection(router, connections), settings.host, settings.port, ssl=tls, backlog=1024
        )
    except OSError as error:
        raise StartupError(
            f"Cannot listen on {settings.host}:{settings.port}: {os.strerror(error.errno or 0)}."
        ) from error
    reaper = loop.create_task(reap_regularly(emulator))
    stopping = loop.create_task(stop.wait())
    log.info(
        "listening",
        host=settings.host,
        port=server.sockets[0].getsockname()[1],
        scheme=emulator.account.scheme,
        data_directory=str(settings.data_directory),
    )
    # For whoever starts this process and waits: the address, also when the port was left to the system.
    logs.announce(f"listening {emulator.account.scheme}://{settings.host}:{server.sockets[0].getsockname()[1]}")
    # What lives now lives as long as the process: the collector need not look at it again. Requests leave no cycles.
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS)
    await asyncio.wait((reaper, stopping), return_when=asyncio.FIRST_COMPLETED)
    log.info("stopping")
    server.close()
    for task in (reaper, stopping):
        task.cancel()
    ended, _ = await asyncio.gather(reaper, stopping, return_exceptions=True)
    workers = [connection.worker for connection in connections if connection.worker is not None]
    if workers:
        await asyncio.wait(workers, timeout=DRAIN_SECONDS)
    for connection in list(connections):
        connection.close()
    await server.wait_closed()
    if isinstance(ended, Exception):
        raise ended
