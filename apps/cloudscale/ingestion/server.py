"""The RSGI application that Granian runs: the event routes directly, everything else through Starlette."""

from __future__ import annotations

import gc
import os
import signal
import time
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING

import msgspec
import structlog
from granian._granian import RSGIProtocolClosed as ProtocolClosed

from cloudscale import pipeline
from cloudscale.events.checking import MAXIMUM_EVENT_BYTES
from cloudscale.ingestion import application
from cloudscale.ingestion.answers import refusal
from cloudscale.ingestion.bodies import Bodies
from cloudscale.ingestion.bridge import serve_asgi
from cloudscale.ingestion.client_address import ClientAddresses
from cloudscale.ingestion.intake import BATCH_PATHS, SINGLE_PATHS
from cloudscale.ingestion.parent import end_with_parent
from cloudscale.ingestion.problems import Kind, Problem
from cloudscale.ingestion.requests import MAXIMUM_BATCH_BYTES, Request
from cloudscale.ingestion.service import IngestionService
from cloudscale.limits.addresses import client_of
from cloudscale.settings import read_settings
from cloudscale.telemetry import logs

if TYPE_CHECKING:
    import asyncio
    from asyncio import AbstractEventLoop

    from granian._granian import RSGIHeaders
    from granian._granian import RSGIHTTPProtocol as HTTPProtocol
    from granian.rsgi import Scope
    from starlette.applications import Starlette

    from cloudscale.ingestion.answers import Answer

log = structlog.get_logger(__name__)

COLLECT_AFTER_ALLOCATIONS = 50_000
"""A request leaves no cycles behind, so the collector may look far less often than after Python's 700 allocations."""

DISCARDED_BYTES = 8 * 1024
"""A body up to this size that nobody reads is there already, as a rule, and thrown away; for more the server closes the
connection."""

RATE_LIMITED = 429

NOTICE_SECONDS = 1.0
"""Between turning unready and taking no more connections, for those who route requests here to notice."""


class Server:
    """One Granian worker's application."""

    def __init__(self) -> None:
        end_with_parent()
        settings = read_settings(os.environ)
        self._pipeline = pipeline.load_file(settings.pipeline_file)
        logs.configure(format=settings.log_format, level=self._pipeline.spec.telemetry.log_level)
        self._addresses = ClientAddresses(self._pipeline.spec.ingestion)
        self._service = IngestionService(self._pipeline, settings)
        self._bodies = Bodies()
        self._watch: asyncio.Task[None]
        self._application: Starlette

    def __rsgi_init__(self, loop: AbstractEventLoop) -> None:
        """Called by Granian before it serves."""
        loop.run_until_complete(self._service.start())
        self._watch = loop.create_task(self._bodies.watch(), name="slow-bodies")
        # Granian stops at once on either signal; SIGTERM is handed on to it as SIGINT, some time after its arrival.
        loop.add_signal_handler(signal.SIGTERM, self._begin_to_stop, loop)
        self._application = application.build(self._service, self._pipeline)
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER_ALLOCATIONS, 20, 100)

    def __rsgi_del__(self, loop: AbstractEventLoop) -> None:
        """Called by Granian after its last request."""
        self._watch.cancel()
        loop.run_until_complete(self._service.stop())

    def _begin_to_stop(self, loop: AbstractEventLoop) -> None:
        self._service.prepare_to_stop()
        loop.call_later(NOTICE_SECONDS, os.kill, os.getpid(), signal.SIGINT)

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request."""
        arrived_at = time.perf_counter()
        path = scope.path
        single = path in SINGLE_PATHS
        if not single and path not in BATCH_PATHS:
            try:
                await serve_asgi(self._application, scope, protocol)
            except Exception:
                log.exception("a request was not answered as it should", path=path)
            return
        if scope.method != "POST":
            _respond(protocol, _method_not_allowed(scope))
            return
        intake = self._service.intake
        busy = intake.overloaded(path)
        if busy is not None:
            _respond(protocol, _without_reading(busy, scope))
            return
        headers = scope.headers
        # A proxy may add a line of its own below one that the client sent.
        forwarded = _joined(headers, self._addresses.header) if self._addresses.has_proxies else None
        address = self._addresses.find(scope.client, forwarded)
        client = client_of(address)
        request = Request(
            path, headers.get, headers.__contains__, headers.items, headers.keys, address, client, arrived_at
        )
        limit = MAXIMUM_EVENT_BYTES if single else MAXIMUM_BATCH_BYTES
        memory = self._bodies.memory_for(client)
        read = partial(self._bodies.read, protocol, request, memory, limit=limit)
        try:
            answer = await (intake.post_event(request, read) if single else intake.post_batch(request, read))
        except ProtocolClosed:
            # The client went away in the middle of its request.
            return
        except Exception:
            correlation_id = token_hex(16)
            with logs.bind(correlation_id=correlation_id):
                log.exception("a request was not answered as it should", path=path)
            answer = intake.failed(path, correlation_id=correlation_id)
        finally:
            memory.release()
        if answer.status == RATE_LIMITED and not memory.has_arrived:
            await self._bodies.discard(protocol, request, memory)
        _respond(protocol, answer if memory.has_arrived else _without_reading(answer, scope))


def _joined(headers: RSGIHeaders, name: str) -> str:
    """All lines of one header as if they were one (RFC 9110, section 5.3)."""
    return ",".join(headers.get_all(name))  # type: ignore[attr-defined] # the stubs do not have it


def _method_not_allowed(scope: Scope) -> Answer:
    problem = Problem(Kind.METHOD_NOT_ALLOWED, f"{scope.method} is not for {scope.path}: POST events there", "route")
    return refusal(problem, correlation_id=token_hex(16), instance=scope.path, extra=[("allow", "POST")])


def _without_reading(answer: Answer, scope: Scope) -> Answer:
    """An answer whose request's body is left where it is: after a long one the connection cannot be used again."""
    length = scope.headers.get("content-length")
    if length is not None and length.isdecimal() and int(length) <= DISCARDED_BYTES:
        return answer
    return msgspec.structs.replace(answer, headers=[*answer.headers, ("connection", "close")])


def _respond(protocol: HTTPProtocol, answer: Answer) -> None:
    protocol.response_bytes(answer.status, answer.headers, answer.body)
