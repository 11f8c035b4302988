"""The change feed, in its latest-version mode.

Its continuation is the ETag of the answer: the sequence number up to which the client has read ("Change feed in Azure
Cosmos DB", and the SDKs' use of ``A-IM``, ``If-None-Match`` and ``If-Modified-Since``).
"""

import sqlite3
import time

from cloudscale.emulators.cosmos.bindings import Bindings
from cloudscale.emulators.cosmos.decoding import http_date, whole_number
from cloudscale.emulators.cosmos.documents import Documents
from cloudscale.emulators.cosmos.emulator import Emulator, answer, feed
from cloudscale.emulators.cosmos.errors import bad_request
from cloudscale.emulators.cosmos.extents import Extent, extent_of, page_size_of, visible
from cloudscale.emulators.cosmos.items import check_budget, spend
from cloudscale.emulators.cosmos.protocol import Request, Response
from cloudscale.emulators.cosmos.query.execution import MAXIMUM_PAGE_BYTES
from cloudscale.emulators.cosmos.resources import Container, render
from cloudscale.emulators.cosmos.tables import COLUMNS, first_lsn_at, to_item
from cloudscale.emulators.cosmos.throughput import query_charge


async def read_changes(emulator: Emulator, documents: Documents, request: Request) -> Response:
    """GET docs with ``A-IM``: the latest version of every document, in the order of the last writes."""
    mode = request.headers["a-im"].replace(" ", "").lower()
    if mode not in ("incrementalfeed", "incremental feed"):
        raise bad_request(
            f"The change feed mode '{request.headers['a-im'][:60]}' is not supported by this emulator: "
            "use the mode of latest versions."
        )
    check_budget(emulator, documents)
    extent = extent_of(emulator, documents, request)
    size, end, now = page_size_of(request), documents.lsn, int(time.time())
    container = documents.container
    after = _change_start(request, end)
    since = _modified_since(request) if after is None else None

    def work(connection: sqlite3.Connection) -> tuple[list[bytes], int]:
        start = after or 0
        if since is not None:
            start = first_lsn_at(connection, container.number, since, end + 1) - 1
        return _changes(connection, container, extent, start=start, end=end, now=now, size=size)

    members, last = await emulator.storage.query(work)
    etag = {"etag": f'"{last}"'}
    if not members:
        return answer(
            b"", status=304, charge=spend(emulator, documents, "change_feed", 1.0), documents=documents, headers=etag
        )
    charge = spend(emulator, documents, "change_feed", query_charge(len(members), sum(map(len, members))))
    return feed("Documents", container.rid, members, charge=charge, documents=documents, headers=etag)


def _change_start(request: Request, end: int) -> int | None:
    """The sequence number after which the client wants to read; None for the beginning or a point in time."""
    text = request.headers.get("if-none-match", "").strip().strip('"')
    if not text:
        return None
    if text == "*":
        return end
    number = whole_number(text)
    if number is None:
        raise bad_request(f"The change feed's continuation '{text[:60]}' cannot be read.")
    return number


def _modified_since(request: Request) -> int | None:
    text = request.headers.get("if-modified-since")
    if text is None:
        return None
    moment = http_date(text)
    if moment is None:
        raise bad_request(f"If-Modified-Since '{text[:60]}' is no date.")
    return int(moment.timestamp())


def _changes(  # noqa: PLR0913 - one page's bounds
    connection: sqlite3.Connection, container: Container, extent: Extent, *, start: int, end: int, now: int, size: int
) -> tuple[list[bytes], int]:
    """A page of documents with their ``_lsn``, and the sequence number that it reaches.

    A page ends between two transactions, never within one.
    """
    bindings = Bindings()
    conditions = [f"d.lsn > {bindings.bind(start)}", f"d.lsn <= {bindings.bind(end)}"]
    conditions += extent.conditions(container.number, bindings, column="+d.partition")
    conditions += visible(container, bindings, now)
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM documents_{container.number} AS d WHERE {' AND '.join(conditions)} ORDER BY d.lsn",
        bindings.values,
    )
    members: list[bytes] = []
    total = last = 0
    for row in rows:
        item = to_item(row)
        if item.lsn != last and (len(members) >= size or total > MAXIMUM_PAGE_BYTES):
            return members, last
        last = item.lsn
        members.append(render(container, item)[:-1] + b',"_lsn":%d}' % item.lsn)
        total += len(members[-1])
    return members, end
