"""The emulator as a running server: listeners, timers, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from cloudscale.emulators.servicebus.administration import Administration
from cloudscale.emulators.servicebus.broker import Broker
from cloudscale.emulators.servicebus.connection import Connection
from cloudscale.emulators.servicebus.journal import JournalError
from cloudscale.emulators.servicebus.listener import DualListener
from cloudscale.emulators.servicebus.turn import SyncPolicy, Turn
from cloudscale.errors import CloudScaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cloudscale.emulators.servicebus.authorization import SharedAccessKey
    from cloudscale.emulators.servicebus.certificate import Certificate
    from cloudscale.emulators.servicebus.description import QueueDescription
    from cloudscale.emulators.servicebus.faults import Faults

TICK_SECONDS = 0.05
HOUSEKEEPING_SECONDS = 1.0
GOODBYE_SECONDS = 0.2

log = structlog.get_logger(__name__)


class PortInUseError(CloudScaleError):
    """A port cannot be bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the emulator is started with. Ports of 0 mean any free one."""

    data_directory: Path
    key: SharedAccessKey
    certificate: Certificate
    host: str = "127.0.0.1"
    port: int = 5672
    management_port: int = 5300
    queues: tuple[QueueDescription, ...] = ()
    sync: SyncPolicy = SyncPolicy.INTERVAL
    tls: bool = False
    further_keys: tuple[SharedAccessKey, ...] = ()
    """Keys with some of the rights."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that were bound."""

    amqp: int
    management: int


@dataclass(slots=True)
class Connections:
    """All open connections, and what concerns them all."""

    broker: Broker
    turn: Turn
    members: set[Connection] = field(default_factory=set)

    def add(self, connection: Connection) -> None:
        """A connection was made."""
        self.members.add(connection)

    def discard(self, connection: Connection) -> None:
        """A connection was lost."""
        self.members.discard(connection)

    def set_faults(self, faults: Faults) -> None:
        """Change the faults; what a stall held back goes on."""
        self.broker.faults = faults
        for connection in list(self.members):
            connection.process()
            connection.send_delayed()

    def check_links(self) -> None:
        """End the links that may no longer be used, at once."""
        for connection in self:
            connection.check_links()

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self.members))

    def __len__(self) -> int:
        return len(self.members)


async def serve(settings: Settings, *, ready: Callable[[Ports], None], stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set; ``ready`` is called once both ports are open.

    Raises:
        PortInUseError: a port cannot be bound.
        JournalError: the data directory cannot be used, or stops to be usable.
    """
    broker = Broker(settings.data_directory, settings.key, *settings.further_keys)
    loop = asyncio.get_running_loop()
    turn = Turn(broker.journal, settings.sync)
    connections = Connections(broker, turn)

    def end() -> None:
        # What is in memory is ahead of the disk now, so nobody may be answered: restarting is the only way back.
        for connection in connections:
            connection.abort()
        stop.set()

    def failed() -> None:
        # A thread that synchronises may be the first to see it.
        loop.call_soon_threadsafe(end)

    broker.journal.failed = failed
    try:
        for description in settings.queues:
            if description.name.lower() not in broker.queues:
                broker.create_queue(description)
        await turn.commit()
        async with contextlib.AsyncExitStack() as stack:
            await _listen(settings, broker, connections, stack=stack, ready=ready)
            await _run_timers(broker, connections, stop)
            for connection in connections:
                connection.shut_down()
            await asyncio.sleep(GOODBYE_SECONDS if len(connections) else 0)
            for connection in connections:
                connection.abort()
    except* JournalError:
        # A timer's arrives in a group; the journal remembers the error itself. The log may be on the same full disk, so
        # it gets a line and no traceback.
        log.warning("the journal failed, the emulator ends")
    finally:
        broker.close()
    if broker.journal.failure is not None:
        raise broker.journal.failure


async def _run_timers(broker: Broker, connections: Connections, stop: asyncio.Event) -> None:
    """Run what time drives until ``stop``; an error in it ends the server, for it would never happen again."""

    async def end() -> None:
        await stop.wait()
        for timer in timers:
            timer.cancel()

    timers: list[asyncio.Task[None]] = []
    with contextlib.suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as group:
            timers += [
                group.create_task(connections.turn.synchronise()),
                group.create_task(_tick(broker)),
                group.create_task(_keep_house(connections)),
            ]
            group.create_task(end())


async def _listen(
    settings: Settings,
    broker: Broker,
    connections: Connections,
    *,
    stack: contextlib.AsyncExitStack,
    ready: Callable[[Ports], None],
) -> None:
    context = settings.certificate.server_context()
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(
            lambda: Connection(broker, connections),
            settings.host,
            settings.port,
            ssl=context if settings.tls else None,
            backlog=1024,
        )
    except OSError as error:
        raise _port_error(settings.port, "--port", error) from error
    stack.callback(server.close)
    runner = web.AppRunner(Administration(broker, connections).application(), access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    factory = runner.server
    assert factory is not None  # noqa: S101
    listener = DualListener(factory, context)
    try:
        listener.listen(settings.host, settings.management_port)
    except OSError as error:
        raise _port_error(settings.management_port, "--management-port", error) from error
    stack.push_async_callback(listener.close)
    ready(Ports(server.sockets[0].getsockname()[1], listener.port))


def _port_error(port: int, option: str, error: OSError) -> PortInUseError:
    return PortInUseError(
        f"port {port} cannot be used ({os.strerror(error.errno or 0)}): stop what uses it, or choose another {option}"
    )


async def _tick(broker: Broker) -> None:
    while True:
        await asyncio.sleep(TICK_SECONDS)
        broker.tick()


async def _keep_house(connections: Connections) -> None:
    while True:
        await asyncio.sleep(HOUSEKEEPING_SECONDS)
        for connection in connections:
            connection.tick()
