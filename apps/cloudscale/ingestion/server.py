"""The RSGI application that Granian runs: the event routes directly, everything else through Starlette."""

from __future__ import annotations

import gc
import os
import time
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING

import structlog

from cloudscale import logs, pipeline
from cloudscale.events import MAXIMUM_EVENT_BYTES
from cloudscale.ingestion import application
from cloudscale.ingestion.answers import refusal
from cloudscale.ingestion.bridge import serve_asgi
from cloudscale.ingestion.client_address import ClientAddresses
from cloudscale.ingestion.intake import BATCH_PATHS, SINGLE_PATHS
from cloudscale.ingestion.problems import Problem
from cloudscale.ingestion.requests import MAXIMUM_BATCH_BYTES, Request, too_large
from cloudscale.ingestion.service import IngestionService
from cloudscale.settings import read_settings

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from granian._granian import RSGIHeaders
    from granian._granian import RSGIHTTPProtocol as HTTPProtocol
    from granian.rsgi import Scope

    from cloudscale.ingestion.answers import Answer

log = structlog.get_logger(__name__)

COLLECT_AFTER_ALLOCATIONS = 50_000
"""A request leaves no cycles behind, so the collector may look far less often than after Python's 700 allocations."""

DISCARDED_BYTES = 16 * 1024 * 1024


class Server:
    """One Granian worker's application."""

    def __init__(self) -> None:
        settings = read_settings(os.environ)
        self._pipeline = pipeline.load_file(settings.pipeline_file)
        logs.configure(format=settings.log_format, level=self._pipeline.spec.telemetry.log_level)
        self._addresses = ClientAddresses(self._pipeline.spec.ingestion.trusted_proxies)
        self._service = IngestionService(self._pipeline, settings)

    def __rsgi_init__(self, loop: AbstractEventLoop) -> None:
        """Called by Granian before it serves."""
        loop.run_until_complete(self._service.start())
        self._application = application.build(self._service, self._pipeline)
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER_ALLOCATIONS, 20, 100)

    def __rsgi_del__(self, loop: AbstractEventLoop) -> None:
        """Called by Granian after its last request."""
        loop.run_until_complete(self._service.stop())

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request."""
        arrived_at = time.perf_counter()
        path = scope.path
        single = path in SINGLE_PATHS
        if not single and path not in BATCH_PATHS:
            await serve_asgi(self._application, scope, protocol)
            return
        if scope.method != "POST":
            _respond(protocol, _method_not_allowed(scope))
            return
        intake = self._service.intake
        busy = intake.overloaded(path)
        if busy is not None:
            _respond(protocol, busy)
            return
        headers = scope.headers
        # A proxy may add a line of its own below one that the client sent.
        forwarded_for = _joined(headers, "x-forwarded-for") if self._addresses.has_proxies else None
        client = self._addresses.find(scope.client, forwarded_for)
        request = Request(path, headers.get, headers.items, client, arrived_at)
        limit = MAXIMUM_EVENT_BYTES if single else MAXIMUM_BATCH_BYTES
        read = partial(_read, protocol, headers.get("content-length"), limit)
        try:
            answer = await (intake.post_event(request, read) if single else intake.post_batch(request, read))
        except Exception:
            log.exception("a request was not answered as it should", path=path)
            problem = Problem(500, "this is a mistake of the server: send the event again", "internal")
            answer = refusal(problem, correlation_id=token_hex(16), instance=path)
        _respond(protocol, answer)


def _joined(headers: RSGIHeaders, name: str) -> str:
    """All lines of one header as if they were one (RFC 9110, section 5.3)."""
    return ",".join(headers.get_all(name))  # type: ignore[attr-defined] # the stubs do not have it


async def _read(protocol: HTTPProtocol, content_length: str | None, limit: int) -> bytes:
    """The body, never more than ``limit`` of it in memory.

    A body that is somewhat too large is still read to its end, because many clients look at the answer only then.

    Raises:
        Refused: it is too large.
    """
    if content_length is not None and content_length.isdigit() and int(content_length) <= limit:
        body: bytes = await protocol()
        return body
    if content_length is not None and int(content_length) > DISCARDED_BYTES:
        raise too_large(limit)
    parts, size = [], 0
    async for part in protocol:
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > DISCARDED_BYTES:
            break
        else:
            parts.clear()
    if size > limit:
        raise too_large(limit)
    return b"".join(parts)


def _method_not_allowed(scope: Scope) -> Answer:
    problem = Problem(405, f"{scope.method} is not for {scope.path}: POST events there", "route")
    return refusal(problem, correlation_id=token_hex(16), instance=scope.path, extra=[("allow", "POST")])


def _respond(protocol: HTTPProtocol, answer: Answer) -> None:
    protocol.response_bytes(answer.status, answer.headers, answer.body)
