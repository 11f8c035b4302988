"""The HTTP side: Service Bus's management API, and the emulator's own health, metrics and faults."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from cloudscale.emulators.servicebus import atom, metrics
from cloudscale.emulators.servicebus.authorization import Right, entity_path, required, verify
from cloudscale.emulators.servicebus.conditions import (
    ArgumentError,
    ConditionError,
    NotImplementedConditionError,
)
from cloudscale.emulators.servicebus.connection import NO_WEBSOCKETS
from cloudscale.emulators.servicebus.description import QueueDescription
from cloudscale.emulators.servicebus.faults import NO_FAULTS, Faults

if TYPE_CHECKING:
    from cloudscale.emulators.servicebus.broker import Broker
    from cloudscale.emulators.servicebus.server import Connections

CONTENT_TYPE = "application/atom+xml;type=entry;charset=utf-8"
OPEN_PATHS = {"/health", "/metrics", "/$servicebus/websocket"}
PAGE_SIZE = 100
NAMESPACE = "cloudscale"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Administration:
    """The handlers, over one broker."""

    def __init__(self, broker: Broker, connections: Connections) -> None:
        self._broker = broker
        self._connections = connections

    def application(self) -> web.Application:
        """Build the application."""
        application = web.Application(middlewares=[self._guard], client_max_size=atom.LONGEST_BODY_BYTES)
        application.add_routes(
            [
                web.get("/health", self._health),
                web.get("/metrics", self._metrics),
                web.put("/$faults", self._set_faults),
                web.delete("/$faults", self._clear_faults),
                web.get("/{path:\\$[Rr]esources/[Qq]ueues}", self._list),
                web.get("/{path:\\$[Nn]amespaceinfo}", self._namespace),
                web.get("/{path:\\$[Rr]esources/[Tt]opics}", self._list_topics),
                web.get("/$servicebus/websocket{_:/?}", self._websocket),
                web.get("/{path:.+}", self._get),
                web.put("/{path:.+}", self._put),
                web.delete("/{path:.+}", self._delete),
            ]
        )
        return application

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check the token, and turn errors into the service's form of them."""
        try:
            if request.path.rstrip("/") not in OPEN_PATHS:
                claim = verify(request.headers.get("Authorization", ""), *self._broker.keys, now=time.time())
                if claim.path and not claim.covers(entity_path(request.path), time.time()):
                    return self._xml(401, atom.render_error(401, f"the token does not cover {request.path}"))
                rights = (Right.MANAGE, Right.ENTITY_READ) if request.method == "GET" else (Right.MANAGE,)
                if not claim.grants(*rights):
                    return self._xml(401, atom.render_error(401, required(*rights)))
            return await handler(request)
        except ConditionError as error:
            return self._xml(error.status, atom.render_error(error.status, str(error)))

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "alive", "queues": len(self._broker.queues)})

    async def _metrics(self, _: web.Request) -> web.Response:
        body = metrics.render(self._broker, len(self._connections))
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _set_faults(self, request: web.Request) -> web.Response:
        try:
            faults = msgspec.json.decode(await request.read(), type=Faults)
        except msgspec.DecodeError as error:
            raise ArgumentError(f"the faults cannot be read: {error}") from None
        self._connections.set_faults(faults)
        return web.json_response(msgspec.to_builtins(faults))

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self._connections.set_faults(NO_FAULTS)
        return web.Response(status=204)

    async def _list(self, request: web.Request) -> web.Response:
        try:
            skip, top = int(request.query.get("$skip", 0)), int(request.query.get("$top", PAGE_SIZE))
        except ValueError:
            raise ArgumentError("$skip and $top are numbers") from None
        if skip < 0 or top < 1:
            raise ArgumentError("$skip counts from 0 on, and $top from 1")
        queues = sorted(self._broker.queues.values(), key=lambda queue: queue.description.name.lower())
        more = f"$skip={skip + top}&$top={top}" if skip + top < len(queues) else None
        return self._xml(200, atom.render_feed(queues[skip : skip + top], self._base(request), more))

    async def _namespace(self, request: web.Request) -> web.Response:
        return self._xml(200, atom.render_namespace(NAMESPACE, self._broker.started, self._base(request)))

    async def _list_topics(self, _: web.Request) -> web.Response:
        raise NotImplementedConditionError("topics are not supported by this emulator: it has queues only")

    async def _websocket(self, _: web.Request) -> web.Response:
        raise NotImplementedConditionError(f"{NO_WEBSOCKETS}: connect to the AMQP port")

    async def _get(self, request: web.Request) -> web.Response:
        queue = self._broker.queue(request.match_info["path"])
        return self._xml(200, atom.render_entry(queue, self._base(request)))

    async def _put(self, request: web.Request) -> web.Response:
        name = request.match_info["path"]
        change = atom.parse_queue(await request.read())
        if request.headers.get("If-Match"):
            status, queue = 200, self._broker.update_queue(change.apply(self._broker.queue(name).description))
        else:
            status, queue = 201, self._broker.create_queue(change.apply(QueueDescription(name=name)))
        await self._connections.turn.commit()
        return self._xml(status, atom.render_entry(queue, self._base(request)))

    async def _delete(self, request: web.Request) -> web.Response:
        self._broker.delete_queue(request.match_info["path"])
        self._connections.check_links()
        await self._connections.turn.commit()
        return self._xml(200, "")

    def _base(self, request: web.Request) -> str:
        return f"{request.scheme}://{request.host}"

    def _xml(self, status: int, text: str) -> web.Response:
        return web.Response(status=status, body=text.encode(), headers={"Content-Type": CONTENT_TYPE})
