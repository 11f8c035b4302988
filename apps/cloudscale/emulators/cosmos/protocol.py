"""HTTP/1.1 for the emulator: one asyncio protocol over httptools.

A connection answers its requests in the order they came (RFC 9112, section 9.3.2), one at a time, so that pipelined
writes of one client keep their order. Many connections run side by side.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, cast

import httptools
import msgspec
import structlog

from cloudscale.emulators.cosmos.errors import CosmosError

MAXIMUM_BODY_BYTES: Final = 4 * 1024 * 1024
MAXIMUM_HEADER_BYTES: Final = 64 * 1024
MAXIMUM_PIPELINED_REQUESTS: Final = 64

log = structlog.get_logger()


@dataclass(slots=True)
class Request:
    """One request. Header names are lower case; ``path`` is as sent, percent-encoded."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    keep_alive: bool = True


@dataclass(slots=True)
class Response:
    """One answer. ``body`` is JSON text unless ``headers`` say otherwise."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Abort(Exception):  # noqa: N818 - not an error: a wish to close the connection without an answer
    """Raised by a handler to close the connection without an answer."""


Handler = Callable[[Request], Awaitable[Response]]

_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def error_response(error: CosmosError, headers: Mapping[str, str] | None = None) -> Response:
    """The service's error body and the sub-status header."""
    body = msgspec.json.encode({"code": error.code, "message": error.message})
    return Response(error.status, body, {"x-ms-substatus": str(error.substatus), **(headers or {})})


class Connection(asyncio.Protocol):
    """Parses requests, hands them to ``handler`` in order and writes its answers."""

    def __init__(self, handler: Handler, connections: "set[Connection]") -> None:
        self._handler = handler
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._requests: deque[Request] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._refusal: CosmosError | None = None
        self._paused = False
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._header_bytes = 0
        self._chunks: list[bytes] = []
        self._body_bytes = 0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the interface's signature
        """Stop answering: nobody listens any more."""
        self._connections.discard(self)
        self._writable.set()
        if self._worker is not None:
            self._worker.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse octets; what is not HTTP is refused."""
        if self._refusal is not None:
            return
        try:
            self._parser.feed_data(data)
        except CosmosError as error:
            self._refuse(error)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, CosmosError) else CosmosError(400, f"Not HTTP/1.1: {error}"))

    def pause_writing(self) -> None:
        """Wait with further answers: the client reads slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on answering."""
        self._writable.set()

    # httptools callbacks

    def on_message_begin(self) -> None:
        """Start with an empty request."""
        self._reset()

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._url += url
        self._count_header_bytes(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._count_header_bytes(len(name) + len(value))
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Invite the body if the client waits for that."""
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Take a part of the body; raises CosmosError 413 beyond the limit."""
        self._body_bytes += len(body)
        if self._body_bytes > MAXIMUM_BODY_BYTES:
            raise CosmosError(413, f"Request size is too large: the limit is {MAXIMUM_BODY_BYTES} bytes.")
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        """Queue the request, and read no further while too many wait."""
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        path = self._url.decode("latin-1").partition("?")[0]
        method = self._parser.get_method().decode("ascii")
        self._requests.append(Request(method, path, self._headers, body, self._parser.should_keep_alive()))
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._serve())
        if len(self._requests) >= MAXIMUM_PIPELINED_REQUESTS and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    # own

    @property
    def worker(self) -> asyncio.Task[None] | None:
        """What answers the requests that wait, if any do."""
        return self._worker

    def close(self) -> None:
        """Close after what has been written so far."""
        self._transport.close()

    def _count_header_bytes(self, count: int) -> None:
        self._header_bytes += count
        if self._header_bytes > MAXIMUM_HEADER_BYTES:
            raise CosmosError(400, f"Request headers are longer than {MAXIMUM_HEADER_BYTES} bytes.")

    def _refuse(self, error: CosmosError) -> None:
        """Answer what came before, then the error, then close: the stream cannot be read any further."""
        self._refusal = error
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        try:
            while self._requests:
                request = self._requests.popleft()
                self._resume_reading()
                response = await self._handler(request)
                self._write(response, keep_alive=request.keep_alive, head=request.method == "HEAD")
                if not request.keep_alive:
                    self._transport.close()
                    return
                if not self._writable.is_set():
                    await self._writable.wait()
        except Abort:
            self._transport.abort()
            return
        finally:
            self._worker = None
        if self._refusal is not None and not self._transport.is_closing():
            self._write(error_response(self._refusal), keep_alive=False, head=False)
            self._transport.close()

    def _resume_reading(self) -> None:
        if self._paused and len(self._requests) < MAXIMUM_PIPELINED_REQUESTS // 2:
            self._paused = False
            self._transport.resume_reading()

    def _write(self, response: Response, *, keep_alive: bool, head: bool) -> None:
        if self._transport.is_closing():
            return
        lines = [f"{name}: {value}\r\n" for name, value in response.headers.items()]
        if "content-type" not in response.headers:
            lines.append("content-type: application/json\r\n")
        if not keep_alive:
            lines.append("connection: close\r\n")
        if response.status not in (204, 304):
            lines.append(f"content-length: {len(response.body)}\r\n")
        lines.append("\r\n")
        start = _STATUS_LINES[response.status] + "".join(lines).encode("latin-1")
        if head or response.status in (204, 304) or not response.body:
            self._transport.write(start)
        else:
            self._transport.writelines((start, response.body))
