"""From a method and a path to the function that answers."""

import time
from collections.abc import Awaitable
from urllib.parse import unquote
from uuid import uuid4

import structlog

from cloudscale.emulators.cosmos import administration, bulk, change_feed, items, queries
from cloudscale.emulators.cosmos.authorization import Authorization
from cloudscale.emulators.cosmos.documents import Documents
from cloudscale.emulators.cosmos.emulator import Emulator, encode, is_query, is_true
from cloudscale.emulators.cosmos.errors import (
    CannotWriteError,
    CosmosError,
    ThrottledRequestError,
    bad_request,
    not_found,
)
from cloudscale.emulators.cosmos.protocol import Request, Response, error_response
from cloudscale.emulators.cosmos.sessions import session_headers

log = structlog.get_logger()


class Router:
    """Answers every request: authorises it, finds its handler and turns errors into answers."""

    def __init__(self, emulator: Emulator, authorization: Authorization) -> None:
        self._emulator = emulator
        self._authorization = authorization

    async def __call__(self, request: Request) -> Response:
        """Answer a request. Raises Abort when the connection is to be closed instead."""
        started = time.perf_counter()
        segments = path_segments(request.path)
        if segments[:1] in (["health"], ["ready"], ["metrics"], ["$faults"]):
            return await self._operate(request, segments)
        try:
            await self._emulator.faults.before()
            writes = is_write(request)
            self._authorization.check(request, writes=writes)
            if segments[4:5] == ["docs"] and not writes:
                self._emulator.account.check_consistency(request)
            response = await route(self._emulator, request, segments)
        except ThrottledRequestError as error:
            response = error_response(error, {"x-ms-retry-after-ms": str(error.retry_after_milliseconds)})
        except CosmosError as error:
            response = error_response(error)
        except RecursionError:
            response = error_response(bad_request("The request is nested too deeply."))
        except Exception:
            log.exception("a request failed", method=request.method, path=request.path)
            response = error_response(CosmosError(500, "The emulator failed: its log says why."))
        response.headers = {
            **response.headers,
            "x-ms-activity-id": request.headers.get("x-ms-activity-id") or str(uuid4()),
        }
        self._emulator.metrics.record(operation_name(request, segments), response.status, time.perf_counter() - started)
        self._emulator.faults.after()
        return response

    async def _operate(self, request: Request, segments: list[str]) -> Response:
        """The paths beside the service's own: health, readiness, metrics and faults."""
        text = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}
        match request.method, segments:
            case "GET", [("health" | "ready") as question]:
                return await self._try_to_write(question)
            case "GET", ["metrics"]:
                counts = [
                    (documents.container.database.id, documents.container.id, documents.count)
                    for documents in self._emulator.catalogue.all_containers()
                ]
                return Response(200, self._emulator.metrics.render(counts).encode(), text)
            case (("PUT" | "DELETE"), ["$faults"]):
                try:
                    self._authorization.check(request, writes=True)
                    self._emulator.faults.load(request.body if request.method == "PUT" else b"{}")
                except CosmosError as error:
                    return error_response(error)
                return Response(204)
        return error_response(CosmosError(405, f"{request.method} is not possible here."))

    async def _try_to_write(self, question: str) -> Response:
        """A store that cannot write is not ready; a new start would help it, unless it is the disk that is full."""
        try:
            await self._emulator.storage.check()
        except CannotWriteError as error:
            status = 200 if error.is_full and question == "health" else error.status
            return Response(status, encode({"status": "full" if error.is_full else "broken", "message": error.message}))
        except CosmosError as error:
            return error_response(error)
        return Response(200, b'{"status":"ok"}')


def is_write(request: Request) -> bool:
    """Whether a request may change something; a batch counts as one that does."""
    if request.method != "POST":
        return request.method not in {"GET", "HEAD"}
    asks = is_query(request) or is_true(request, "x-ms-cosmos-is-query-plan-request")
    # Headers do not make a question of a batch or of the deletion of a partition.
    return not asks or is_true(request, "x-ms-cosmos-is-batch-request") or request.path.endswith("partitionkeydelete")


def path_segments(path: str) -> list[str]:
    """The names in a path. It is split before it is unescaped, since an id may hold a slash."""
    return [unquote(segment) for segment in path.strip("/").split("/")] if path != "/" else []


def route(emulator: Emulator, request: Request, segments: list[str]) -> Awaitable[Response]:
    """The handler's coroutine; raises CosmosError 404 or 405 when there is none."""
    method = request.method
    match segments:
        case ["dbs", database, "colls", container, "docs", name]:
            documents = emulator.find_container(request, database, container)
            if container == documents.container.rid:
                # A link made of resource ids, as documents bring it in _self.
                name = documents.name_of(name)
            return _in_session(emulator, documents, request, _item(emulator, documents, request, name))
        case ["dbs", database, "colls", container, "docs"]:
            documents = emulator.find_container(request, database, container)
            return _in_session(emulator, documents, request, _items(emulator, documents, request))
        case ["dbs", database, "colls", container, "operations", "partitionkeydelete"] if method == "POST":
            return items.delete_partition(emulator, emulator.find_container(request, database, container), request)
        case ["dbs", database, "colls", container, "pkranges"] if method == "GET":
            return administration.list_partition_ranges(emulator, request, database, container)
    return _administer(emulator, request, segments)


async def _in_session(
    emulator: Emulator, documents: Documents, request: Request, answering: Awaitable[Response]
) -> Response:
    response = await answering
    response.headers = {**response.headers, **session_headers(emulator, documents, request)}
    return response


def _item(emulator: Emulator, documents: Documents, request: Request, name: str) -> Awaitable[Response]:
    match request.method:
        case "GET":
            return items.read_item(emulator, documents, request, name)
        case "PUT":
            return items.replace_item(emulator, documents, request, name)
        case "PATCH":
            return items.update_item(emulator, documents, request, name)
        case "DELETE":
            return items.delete_item(emulator, documents, request, name)
    raise _not_allowed(request)


def _items(emulator: Emulator, documents: Documents, request: Request) -> Awaitable[Response]:
    if request.method == "GET":
        if "a-im" in request.headers:
            return change_feed.read_changes(emulator, documents, request)
        return queries.read_all(emulator, documents, request)
    if request.method != "POST":
        raise _not_allowed(request)
    if is_true(request, "x-ms-cosmos-is-batch-request"):
        if is_true(request, "x-ms-cosmos-batch-atomic") or "x-ms-documentdb-partitionkey" in request.headers:
            return items.run_transaction(emulator, documents, request)
        return bulk.run_bulk(emulator, documents, request)
    if is_true(request, "x-ms-cosmos-is-query-plan-request"):
        return queries.plan_query(emulator, documents, request)
    if is_query(request):
        return queries.run_query(emulator, documents, request)
    return items.create_item(emulator, documents, request)


def _administer(emulator: Emulator, request: Request, segments: list[str]) -> Awaitable[Response]:  # noqa: C901, PLR0912 - a table
    method = "QUERY" if request.method == "POST" and is_query(request) else request.method
    match method, segments:
        case "GET", []:
            return administration.account(emulator, request)
        case "POST", ["dbs"]:
            return administration.create_database(emulator, request)
        case (("GET" | "QUERY"), ["dbs"]):
            return administration.list_databases(emulator, request)
        case "GET", ["dbs", database]:
            return administration.read_database(emulator, database)
        case "DELETE", ["dbs", database]:
            return administration.delete_database(emulator, database)
        case "POST", ["dbs", database, "colls"]:
            return administration.create_container(emulator, request, database)
        case (("GET" | "QUERY"), ["dbs", database, "colls"]):
            return administration.list_containers(emulator, request, database)
        case "GET", ["dbs", database, "colls", name]:
            return administration.read_container(emulator, request, database, name)
        case "PUT", ["dbs", database, "colls", name]:
            return administration.replace_container(emulator, request, database, name)
        case "DELETE", ["dbs", database, "colls", name]:
            return administration.delete_container(emulator, database, name)
        case (("GET" | "QUERY"), ["dbs", database, "colls", name, "conflicts"]):
            return administration.list_conflicts(emulator, request, database, name)
        case (("GET" | "QUERY"), ["offers"]):
            return administration.list_offers(emulator, request)
        case "GET", ["offers", rid]:
            return administration.read_offer(emulator, rid)
        case "PUT", ["offers", rid]:
            return administration.replace_offer(emulator, request, rid)
    raise not_found(
        f"{request.method} {request.path[:200]}: the resource or operation is not supported by this emulator"
    )


def _not_allowed(request: Request) -> CosmosError:
    return CosmosError(405, f"{request.method} is not possible for {request.path[:200]}.")


def operation_name(request: Request, segments: list[str]) -> str:
    """A label for metrics, of few distinct values."""
    if len(segments) < 5:
        return "administration"
    if segments[4] != "docs":
        return "partition_ranges"
    if request.method == "POST":
        if is_true(request, "x-ms-cosmos-is-batch-request"):
            return "batch"
        return "query" if is_query(request) else "write"
    if len(segments) == 5:
        return "change_feed" if "a-im" in request.headers else "feed"
    return "read" if request.method == "GET" else "write"
