"""A worker process gives way to the one that replaces it while both share the socket on which connections arrive."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from granian._granian import RSGIHTTPProtocol as HTTPProtocol

GIVE_WAY_SIGNAL = signal.SIGUSR1
"""From the main process to a worker whose successor is there; it is told to end some seconds later."""


class LastAnswers:
    """A request's protocol whose answer asks the client to open another connection for its next request."""

    def __init__(self, protocol: HTTPProtocol) -> None:
        self._protocol = protocol
        self.client_disconnect = protocol.client_disconnect

    async def __call__(self) -> bytes:
        """The whole body."""
        return await self._protocol()

    def __aiter__(self) -> AsyncIterator[bytes]:
        chunks: AsyncIterator[bytes] = aiter(self._protocol)
        return chunks

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer, and have the connection closed."""
        if all(name != "connection" for name, _ in headers):
            headers = [*headers, ("connection", "close")]
        self._protocol.response_bytes(status, headers, body)


def give_up_listening(port: int) -> None:
    """Accept no connection in this process any more, while others go on with the same socket.

    Each of its descriptors becomes one of a socket to which nobody connects: whoever accepts there finds nothing.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as deserted:
        deserted.bind("")
        deserted.listen(1)
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - a listing, and closed before anything is replaced
            if _listens_at(int(name), port):
                os.dup2(deserted.fileno(), int(name))


def _listens_at(descriptor: int, port: int) -> bool:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as found:
            is_listening = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            return bool(is_listening) and found.family != socket.AF_UNIX and found.getsockname()[1] == port
    except OSError:
        # No socket, or closed since it was listed.
        return False
