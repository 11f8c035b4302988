"""A listening socket that serves TLS and plaintext on one port, told apart by a connection's first octet.

The administration clients always speak HTTPS, also with ``UseDevelopmentEmulator=true``; probes, scrapers and people
with curl have no use for our certificate. TLS starts with a handshake record, 0x16 (RFC 8446, 5.1), no HTTP method
does.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

TLS_HANDSHAKE = 0x16
BACKLOG = 256
FIRST_OCTET_SECONDS = 10.0
ACCEPT_PAUSE_SECONDS = 1.0

log = structlog.get_logger(__name__)


class DualListener:
    """Accepts connections and gives each its protocol, behind TLS or not. Owns the tasks that set them up."""

    def __init__(self, factory: Callable[[], asyncio.Protocol], context: ssl.SSLContext) -> None:
        self._factory = factory
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._waiting: dict[socket.socket, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    def listen(self, host: str, port: int) -> None:
        """Start to accept.

        Raises:
            OSError: the address cannot be bound.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self._socket.settimeout(0)
        self.port = self._socket.getsockname()[1]
        self._resume()

    async def close(self) -> None:
        """Stop accepting and drop the connections that have not said anything."""
        if self._pause is not None:
            self._pause.cancel()
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
        for waiting in list(self._waiting):
            self._forget(waiting)
            waiting.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _resume(self) -> None:
        assert self._socket is not None  # noqa: S101
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        assert self._socket is not None  # noqa: S101
        try:
            client, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            # The connection still waits, so without a pause the loop would come here again at once, and for ever.
            log.warning("connection not accepted", error=str(error), again_in_seconds=ACCEPT_PAUSE_SECONDS)
            self._loop.remove_reader(self._socket.fileno())
            self._pause = self._loop.call_later(ACCEPT_PAUSE_SECONDS, self._resume)
            return
        client.settimeout(0)
        self._waiting[client] = self._loop.call_later(FIRST_OCTET_SECONDS, self._drop, client)
        self._loop.add_reader(client.fileno(), self._on_first_octet, client)

    def _on_first_octet(self, client: socket.socket) -> None:
        try:
            first = client.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            first = b""
        if not first:
            self._drop(client)
            return
        self._forget(client)
        task = self._loop.create_task(self._start(client, tls=first[0] == TLS_HANDSHAKE))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start(self, client: socket.socket, *, tls: bool) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, client, ssl=self._context if tls else None)
        except (OSError, ssl.SSLError) as error:
            # A client that does not trust our authority ends here; it reports the reason itself.
            log.info("TLS handshake failed", error=str(error))
            client.close()

    def _forget(self, client: socket.socket) -> None:
        self._waiting.pop(client).cancel()
        self._loop.remove_reader(client.fileno())

    def _drop(self, client: socket.socket) -> None:
        self._forget(client)
        client.close()
