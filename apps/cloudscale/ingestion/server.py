"""The RSGI application that Granian runs: the event routes directly, everything else through Starlette."""

from __future__ import annotations

import gc
import os
import signal
import time
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, cast

import msgspec
import structlog
from granian._granian import RSGIProtocolClosed as ProtocolClosed

from cloudscale import pipeline
from cloudscale.errors import CloudScaleError
from cloudscale.events.checking import MAXIMUM_EVENT_BYTES
from cloudscale.ingestion import application
from cloudscale.ingestion.answers import refusal
from cloudscale.ingestion.beacons import Beacons
from cloudscale.ingestion.bodies import Bodies
from cloudscale.ingestion.bridge import serve_asgi
from cloudscale.ingestion.cross_origin import CrossOrigin
from cloudscale.ingestion.giving_way import GIVE_WAY_SIGNAL, LastAnswers, give_up_listening
from cloudscale.ingestion.intake import BATCH_PATHS, SINGLE_PATHS
from cloudscale.ingestion.parent import end_with_parent
from cloudscale.ingestion.problems import Kind, Problem, Refused
from cloudscale.ingestion.requests import MAXIMUM_BATCH_BYTES, Request
from cloudscale.ingestion.service import IngestionService
from cloudscale.limits.addresses import client_of
from cloudscale.limits.client_address import ClientAddresses
from cloudscale.limits.rates import Sender
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
        origins = self._pipeline.spec.access.browser.origins
        # None where no page may send: each request would pay for a look at what is empty.
        self._pages = CrossOrigin(origins) if origins else None
        self._beacons = Beacons(self._pages, self._bodies) if self._pages is not None else None
        self._port = settings.port
        self._watch: asyncio.Task[None]
        self._gives_way = False
        self._application: Starlette

    def __rsgi_init__(self, loop: AbstractEventLoop) -> None:
        """Called by Granian before it serves."""
        loop.run_until_complete(self._service.start())
        self._watch = loop.create_task(self._bodies.watch(), name="slow-bodies")
        # Granian stops at once on either signal; SIGTERM is handed on to it as SIGINT, some time after its arrival.
        loop.add_signal_handler(signal.SIGTERM, self._begin_to_stop, loop)
        loop.add_signal_handler(GIVE_WAY_SIGNAL, self._give_way)
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

    def _give_way(self) -> None:
        self._gives_way = True
        give_up_listening(self._port)

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request."""
        arrived_at = time.perf_counter()
        path = scope.path
        if self._gives_way:
            protocol = cast("HTTPProtocol", LastAnswers(protocol))
        if path not in SINGLE_PATHS and path not in BATCH_PATHS:
            try:
                await serve_asgi(self._application, scope, protocol)
            except Exception:
                log.exception("a request was not answered as it should", path=path)
            return
        if scope.method == "OPTIONS" and self._pages is not None:
            _respond(protocol, _without_reading(self._pages.preflight(path, scope.headers), scope))
            return
        answer = _method_not_allowed(scope) if scope.method != "POST" else await self._take(scope, protocol, arrived_at)
        if answer is not None:
            _respond(protocol, answer if self._pages is None else self._pages.readable(answer, scope.headers))

    async def _take(self, scope: Scope, protocol: HTTPProtocol, arrived_at: float) -> Answer | None:
        """The answer to a request with events; None for a client that went away in the middle of it."""
        path, headers, intake = scope.path, scope.headers, self._service.intake
        busy = intake.overloaded(path)
        if busy is not None:
            return _without_reading(busy, scope)
        # A proxy may add a line of its own below one that the client sent.
        forwarded = _joined(headers, self._addresses.header) if self._addresses.has_proxies else None
        address = self._addresses.find(scope.client, forwarded)
        client = client_of(address)
        memory = self._bodies.memory_for(client)
        known = (path, headers.get, headers.__contains__, headers.items, headers.keys, address, client, arrived_at)
        callers, single = self._service.callers, path in SINGLE_PATHS
        try:
            if self._beacons is not None and self._beacons.may_be(scope):
                request = Request(*known, Sender(client))
                exhausted = intake.turned_away(request)
                if exhausted is not None:
                    return _without_reading(exhausted, scope)
                beacon = await self._beacons.read(protocol, request, memory, callers=callers, of_batch=not single)
                caller, read = beacon.caller, beacon.read
            else:
                caller = await callers.of(headers, client, query=scope.query_string)
                read = None
            request = Request(*known, callers.sender_of(caller, client), caller)
            if read is None:
                limit = MAXIMUM_EVENT_BYTES if single else MAXIMUM_BATCH_BYTES
                read = partial(self._bodies.read, protocol, request, memory, limit=limit)
            answer = await (intake.post_event(request, read) if single else intake.post_batch(request, read))
            if answer.status == RATE_LIMITED and not memory.has_arrived:
                await self._bodies.discard(protocol, request, memory)
        except (CloudScaleError, Refused) as error:
            answer = intake.not_admitted(error, path, client)
            return answer if memory.has_arrived else _without_reading(answer, scope)
        except ProtocolClosed:
            return None
        except Exception:
            correlation_id = token_hex(16)
            with logs.bind(correlation_id=correlation_id):
                log.exception("a request was not answered as it should", path=path)
            answer = intake.failed(path, correlation_id=correlation_id)
        finally:
            memory.release()
        return answer if memory.has_arrived else _without_reading(answer, scope)


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
