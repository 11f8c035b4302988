"""Requests that query a container. They run on reader threads."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from typing import Final

from cloudscale.emulators.cosmos.bindings import Bindings
from cloudscale.emulators.cosmos.documents import Documents
from cloudscale.emulators.cosmos.emulator import Emulator, answer, encode, feed, is_true
from cloudscale.emulators.cosmos.errors import CROSS_PARTITION_NOT_SERVABLE, bad_request, cross_partition_disabled
from cloudscale.emulators.cosmos.extents import Extent, extent_of, page_size_of, partitions_with_prefix, visible
from cloudscale.emulators.cosmos.index_metrics import INDEX_METRICS, describe_indexes
from cloudscale.emulators.cosmos.items import check_budget, spend
from cloudscale.emulators.cosmos.key_index import key_digest
from cloudscale.emulators.cosmos.orderings import ask_for_orders, bounds_of, ordering_of
from cloudscale.emulators.cosmos.protocol import Request, Response
from cloudscale.emulators.cosmos.query.ast import Expression, Logical, Query
from cloudscale.emulators.cosmos.query.execution import Continuation, Page, decode_token, encode_token, run_page
from cloudscale.emulators.cosmos.query.features import NON_VALUE_AGGREGATE, merging_features
from cloudscale.emulators.cosmos.query.narrowing import MAXIMUM_POINTS, Narrowing, constants, narrow
from cloudscale.emulators.cosmos.query.parser import parse_query
from cloudscale.emulators.cosmos.query.request import QueryRequest, parse_request
from cloudscale.emulators.cosmos.query.required_text import containing, required_texts
from cloudscale.emulators.cosmos.query.scope import Compilation, Deadline
from cloudscale.emulators.cosmos.query.selection import Selection, compile_query, counts_documents
from cloudscale.emulators.cosmos.query.text_bounds import text_bounds
from cloudscale.emulators.cosmos.query_metrics import QUERY_METRICS, QueryTimes, describe_metrics
from cloudscale.emulators.cosmos.query_plan import ALL_RANGES, MERGED, answer_to_plan, plan, rewritten
from cloudscale.emulators.cosmos.stored_rows import DocumentReader, Search, StoredRows, count_documents
from cloudscale.emulators.cosmos.tables import first_lsn_at
from cloudscale.emulators.cosmos.throughput import query_charge

SHORT_QUERY_CHARACTERS: Final = 4_000
INSTRUCTIONS_BETWEEN_LOOKS: Final = 1_000_000
"""Of SQLite's machine; a document that is left out takes about ten."""
LARGEST_SEARCH: Final = 20
"""How many documents of an order may be passed over for each one that a query may be about, on average."""
Work = Callable[[sqlite3.Connection, int, Continuation | None], Page]
# With any of these a request names the part of the container that it is about.
_SCOPES: Final = {"x-ms-documentdb-partitionkey", "x-ms-documentdb-partitionkeyrangeid", "x-ms-start-epk"}


async def read_all(emulator: Emulator, documents: Documents, request: Request) -> Response:
    """GET docs: every item."""
    return await _answer_query(emulator, documents, request, QueryRequest("SELECT * FROM c"))


async def run_query(emulator: Emulator, documents: Documents, request: Request) -> Response:
    """POST docs with a query."""
    return await _answer_query(emulator, documents, request, parse_request(request.body))


async def plan_query(emulator: Emulator, documents: Documents, request: Request) -> Response:  # noqa: ARG001 - a handler
    """POST docs for a query plan."""
    asked = parse_request(request.body)
    query = await _parse(asked.query)
    announced = {name.strip() for name in request.headers.get("x-ms-cosmos-supported-query-features", "").split(",")}
    missing = merging_features(query) - announced
    if missing:
        raise bad_request(
            f"The client cannot merge the answers of several partitions to this query: it does not support "
            f"{', '.join(sorted(missing))}. Give a partition key, ask each range, or use an SDK that does."
        )
    planned = plan(query, asked.query, asked.values, request.headers.get("user-agent", ""))
    return answer(encode(planned), documents=documents)


async def _answer_query(emulator: Emulator, documents: Documents, request: Request, asked: QueryRequest) -> Response:
    check_budget(emulator, documents)
    started = perf_counter()
    query = rewritten(await _parse(asked.query), asked.query)
    parsed = perf_counter()
    documents.container.indexing.check(query, may_scan=is_true(request, "x-ms-documentdb-query-enable-scan"))
    if asked.query.startswith(ALL_RANGES):
        extent = Extent()
    else:
        extent = extent_of(emulator, documents, request)
        if request.method == "POST" and _SCOPES.isdisjoint(request.headers):
            _check_partitions(documents, request, query, asked)
    narrowing = narrow(query.where, query.container, documents.container.partition_key, constants(asked.values))
    await ask_for_orders(emulator, documents, query, narrowing)
    size, continuation = page_size_of(request), decode_token(request.headers.get("x-ms-continuation"))
    following = None
    in_turn = bool(query.container) and not merging_features(query)
    if in_turn and extent.partition is None and narrowing.partition_key is None:
        extent, following = extent.part(emulator.boundaries, "" if continuation is None else continuation.low)
    work = prepare(documents, query, asked, extent)
    page = await emulator.storage.query(lambda connection: work(connection, size, continuation))
    if page.token is None and following is not None:
        # The service's gateway asks one range for each page, so a page may be empty and not the last.
        page = replace(page, token=encode_token(Continuation(taken=0, low=following)))
    page = answer_to_plan(asked.query, page)
    headers = {} if page.token is None else {"x-ms-continuation": page.token}
    if is_true(request, "x-ms-documentdb-populatequerymetrics"):
        times = QueryTimes(compilation=parsed - started, execution=perf_counter() - parsed)
        headers[QUERY_METRICS] = describe_metrics(page, times)
    # The service tells of the indexes of those pages only that have results.
    if is_true(request, "x-ms-cosmos-populateindexmetrics") and page.results:
        named = documents.container.partition_key.paths if "x-ms-documentdb-partitionkey" in request.headers else ()
        headers[INDEX_METRICS] = describe_indexes(
            query, asked.values, documents.container.indexing, partition_key=named
        )
    return _page_answer(emulator, documents, page, headers)


def _check_partitions(documents: Documents, request: Request, query: Query, asked: QueryRequest) -> None:
    """Refuse what the service's gateway does not answer over several partitions; raises CosmosError 400.

    The sub-status sends SDKs to the query plan.
    """
    may_cross = is_true(request, "x-ms-documentdb-query-enablecrosspartition")
    merging = merging_features(query)
    if may_cross and not merging:
        return
    container = documents.container
    narrowed = narrow(query.where, query.container, container.partition_key, constants(asked.values))
    # An aggregate in an object is not answered to a request that allows several partitions, even if it is about one.
    if narrowed.partition_key is not None and not (may_cross and NON_VALUE_AGGREGATE in merging):
        return
    if not may_cross:
        raise cross_partition_disabled()
    raise bad_request(
        # SDKs look for these words.
        "The provided cross partition query can not be directly served by the gateway, which does not merge "
        f"({', '.join(sorted(merging))}): ask for a query plan, or give a partition key.",
        substatus=CROSS_PARTITION_NOT_SERVABLE,
    )


async def _parse(text: str) -> Query:
    """Read a query, on a thread when it is long."""
    return parse_query(text) if len(text) <= SHORT_QUERY_CHARACTERS else await asyncio.to_thread(parse_query, text)


def _page_answer(emulator: Emulator, documents: Documents, page: Page, headers: dict[str, str]) -> Response:
    charge = spend(emulator, documents, "query", query_charge(len(page.results), page.size))
    return feed("Documents", documents.container.rid, page.results, charge=charge, documents=documents, headers=headers)


def prepare(documents: Documents, query: Query, asked: QueryRequest, extent: Extent) -> Work:
    """Find out on the loop, where the key index is, which documents to look at; the rest is left for the thread."""
    container, parameters = documents.container, asked.values
    narrowing = narrow(query.where, query.container, container.partition_key, constants(parameters))
    where = query.where
    if extent.partition is None and narrowing.partition_key is not None:
        extent = extent.holding(documents, narrowing.partition_key)
        where = _conjunction(narrowing.rest)
    bindings = Bindings()
    conditions: list[str] = []
    numbers = _candidates(documents, extent, narrowing)
    if numbers is not None:
        conditions.append(f"d.number IN ({', '.join(map(str, numbers))})")
        named = extent.partition is None or all(key is None for key, _ in narrowing.points or ())
        if narrowing.points_are_all and named:
            where = None
    elif extent.partition is None and narrowing.partition_prefix is not None:
        conditions.append(partitions_with_prefix(container.number, bindings, narrowing.partition_prefix))
        where = _conjunction(narrowing.rest)
    # Documents that are named are sooner sorted than found among all the others.
    members = bounds_of(documents, narrowing, bindings) if numbers is None else []
    ordering = ordering_of(query, documents, extent, narrowing, bindings) if numbers is None else None
    now, end, total = int(time.time()), documents.lsn + 1, documents.count
    conditions.extend(
        extent.conditions(container.number, bindings, column="d.partition" if numbers is None else "+d.partition")
    )
    comparisons = [comparison for _, comparison in narrowing.comparisons]
    conditions.extend(containing(required_texts(comparisons, container.computed), bindings))
    bounds = text_bounds(narrowing.comparisons, container.computed)
    conditions.extend(bounds.conditions)
    where = _conjunction(bounds.without(where))
    counts_all = not conditions and where is None and counts_documents(query)
    conditions.extend(visible(container, bindings, now))

    def work(connection: sqlite3.Connection, size: int, continuation: Continuation | None) -> Page:
        if counts_all:
            return _count_page(total - _count_expired(connection, documents, now), continuation)
        times: list[str] = []
        for operator, timestamp in narrowing.timestamps:
            times += _lsn_bounds(connection, container.number, bindings, operator, timestamp, end)
        conditions.extend(times)
        bounds.register(connection)
        compilation = Compilation(parameters, container.computed)
        if where is None and counts_documents(query):
            with _snapshot(connection, compilation.deadline):
                count = count_documents(connection, container.number, conditions=conditions, bindings=bindings)
            return _count_page(count, continuation)
        selection = _select(query, asked.query, compilation, where)
        if ordering is not None and ordering.is_by_time:
            # Timestamps rise with sequence numbers, which have an index.
            selection = replace(selection, order_by=[])
        search = Search(
            conditions=conditions,
            values=bindings.values,
            times=times if numbers is None else (),
            members=members,
            ordering=ordering,
            few=total // LARGEST_SEARCH + 1,
        )
        rows = StoredRows(connection, DocumentReader(container, compilation.use), container.number, search)
        with _snapshot(connection, compilation.deadline):
            return run_page(selection, rows, places=compilation.places, page_size=size, continuation=continuation)

    return work


def _select(query: Query, text: str, compilation: Compilation, where: Expression | None) -> Selection:
    selection = compile_query(query, compilation, where=where)
    return selection.for_merging() if text.startswith(MERGED) else selection


@contextmanager
def _snapshot(connection: sqlite3.Connection, deadline: Deadline) -> Iterator[None]:
    """All statements of a page see the same documents; SQLite is interrupted where it alone takes too long."""
    connection.execute("BEGIN")
    connection.set_progress_handler(deadline.is_over, INSTRUCTIONS_BETWEEN_LOOKS)
    try:
        yield
    except sqlite3.OperationalError:
        deadline.check()
        raise
    finally:
        connection.set_progress_handler(None, 0)
        connection.execute("COMMIT")


def _count_page(count: int, continuation: Continuation | None) -> Page:
    text = str(count).encode()
    return Page([], None, 0) if continuation is not None and continuation.taken else Page([text], None, len(text))


def _conjunction(expressions: list[Expression]) -> Expression | None:
    if len(expressions) > 1:
        return Logical("AND", tuple(expressions))
    return expressions[0] if expressions else None


def _candidates(documents: Documents, extent: Extent, narrowing: Narrowing) -> list[int] | None:
    """The numbers of the only documents that can match, where the condition names their ids."""
    if narrowing.points is None:
        return None
    everywhere: list[int] = []
    if extent.partition is None and any(key is None for key, _ in narrowing.points):
        # An id without its partition may be in every one; with few partitions that is still no search.
        few = documents.partitions.all(MAXIMUM_POINTS // max(1, len(narrowing.points)))
        if few is None:
            return None
        everywhere = few
    numbers: set[int] = set()
    for key, name in narrowing.points:
        if extent.partition is not None:
            partitions = [extent.partition]
        elif key is not None:
            partition = documents.partitions.find(key)
            partitions = [] if partition is None else [partition]
        else:
            partitions = everywhere
        found = (documents.keys.find(key_digest(partition, name)) for partition in partitions)
        numbers.update(number for number in found if number is not None)
    return sorted(numbers)


def _lsn_bounds(
    connection: sqlite3.Connection, container: int, bindings: Bindings, operator: str, timestamp: float, end: int
) -> list[str]:
    """Conditions on ``lsn``, which is indexed and rises with ``_ts``."""
    first = first_lsn_at(connection, container, int(timestamp // 1), end)
    after = first_lsn_at(connection, container, int(timestamp // 1) + 1, end)
    low, high = f"d.lsn >= {bindings.bind(first)}", f"d.lsn < {bindings.bind(after)}"
    return {"=": [low, high], ">": [low], ">=": [low], "<": [high], "<=": [high]}[operator]


def _count_expired(connection: sqlite3.Connection, documents: Documents, now: int) -> int:
    """How many documents have run out of their time to live and are not yet removed."""
    container = documents.container
    if container.default_ttl is None:
        return 0
    table = f"documents_{container.number}"
    (expired,) = connection.execute(
        f"SELECT count(*) FROM {table} WHERE ttl > 0 AND ts + ttl <= ?",
        (now,),
    ).fetchone()
    if container.default_ttl > 0:
        bound = first_lsn_at(connection, container.number, now - container.default_ttl + 1, documents.lsn + 1)
        (more,) = connection.execute(f"SELECT count(*) FROM {table} WHERE lsn < ? AND ttl IS NULL", (bound,)).fetchone()
        expired += more
    return int(expired)
