"""Runs a query page by page.

Pages of documents go on after the keys of the last result (keyset pagination), so whatever is written between two
pages moves nothing: a document that exists all the time is returned exactly once, in the order of its number, which
never changes, or of the ORDER BY.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any, Final

import msgspec

from cloudscale.emulators.cosmos.decoding import decode_json
from cloudscale.emulators.cosmos.errors import bad_request
from cloudscale.emulators.cosmos.query.ast import UNDEFINED
from cloudscale.emulators.cosmos.query.results import SortKeys, compute_ordered, sort, sort_keys, with_order
from cloudscale.emulators.cosmos.query.rows import NO_DOCUMENTS, Position, Row, Rows
from cloudscale.emulators.cosmos.query.scope import DOCUMENT, Values
from cloudscale.emulators.cosmos.query.selection import Selection
from cloudscale.emulators.cosmos.query.values import encode, sort_key

MAXIMUM_PAGE_BYTES: Final = 4 * 1024 * 1024
MAXIMUM_PAGE_ITEMS: Final = 1_000
# Rows that are kept beyond a page before the worst of them are dropped.
_SORTED_ROWS: Final = 4_000


class Continuation(msgspec.Struct, array_like=True, frozen=True):
    """Where the next page begins: after ``keys``, or after ``skip`` results; ``taken`` results were given so far.

    ``low`` is where the part of the container that the page is of begins, as an effective partition key, for a query
    that goes from one partition key range to the next.
    """

    taken: int
    skip: int = 0
    keys: list[str | int | float | bool | None] = []
    low: str = ""


SortedRow = tuple[SortKeys, Position, int]
"""What a row is ordered by, the position of its document, and its number in it."""

_continuation_decoder: Final = msgspec.json.Decoder(Continuation)


@dataclass(frozen=True, slots=True)
class Page:
    """Results as JSON text, and the token for the next page unless this was the last.

    ``read`` is how many documents were looked at.
    """

    results: list[bytes]
    token: str | None
    size: int
    read: int = 0


def decode_token(token: str | None) -> Continuation | None:
    """Read a continuation token; raises CosmosError 400."""
    if not token:
        return None
    try:
        text = base64.b64decode(token, validate=True)
    except ValueError as error:
        raise bad_request(
            f"The continuation token is not base64: {error}. "
            "Tokens that Azure has made are not supported by this emulator."
        ) from error
    return decode_json(_continuation_decoder, text, "The continuation token")


def encode_token(continuation: Continuation) -> str:
    """A continuation as clients send it back."""
    return base64.b64encode(msgspec.json.encode(continuation)).decode()


def run_page(
    selection: Selection, rows: Rows, *, places: int, page_size: int, continuation: Continuation | None
) -> Page:
    """The next page; raises CosmosError 400 for what cannot be computed, 408 for a query that takes too long.

    ``places`` is the length of the list of values that the query's functions work on.
    """
    start = continuation or Continuation(taken=0, skip=selection.offset)
    remaining = None if selection.limit is None else selection.limit - start.taken
    if remaining is not None and remaining <= 0:
        return Page([], None, 0)
    wanted = page_size if remaining is None else min(page_size, remaining)
    run = _Run(selection, rows, [UNDEFINED] * places, wanted)
    if not selection.reads_documents:
        run.rows = NO_DOCUMENTS
    if selection.is_whole:
        return run.whole(start)
    return run.sorted(start, remaining) if selection.order_by else run.streamed(start, remaining)


class _Run:
    """One page of one query. ``values`` is the list that all functions of the query work on."""

    def __init__(self, selection: Selection, rows: Rows, values: Values, wanted: int) -> None:
        self.rows = rows
        self._selection = selection
        self._values = values
        self._wanted = wanted
        self._read = 0
        values[DOCUMENT] = {}

    def _combinations(self, row: Row) -> Iterable[Values]:
        self._selection.step()
        self._read += 1
        self._values[DOCUMENT] = row.load()
        return self._selection.rows(self._values)

    def _all(self) -> Iterator[Values]:
        for row in self.rows.start(None):
            yield from self._combinations(row)

    def _result(self, row: Row, values: Values) -> bytes | None:
        if self._selection.is_document:
            result = row.render()
        else:
            value = self._selection.result(values)
            if value is UNDEFINED:
                return None
            result = encode(value)
        order = self._selection.merged_order
        return result if order is None else with_order(tuple([sort_key(each(values)) for each in order]), result)

    def whole(self, start: Continuation) -> Page:
        """Compute everything, and give the part of it that the page is."""
        around = list(self._values)
        results = compute_ordered(self._selection, self._all(), around)[start.taken :]
        taken: list[bytes] = []
        size = 0
        for keys, value in results[: self._wanted]:
            result = encode(value)
            taken.append(result if self._selection.merged_order is None else with_order(keys, result))
            size += len(taken[-1])
            if size > MAXIMUM_PAGE_BYTES:
                break
        is_last = len(taken) == len(results)
        token = None if is_last else encode_token(Continuation(start.taken + len(taken)))
        return Page(taken, token, size, self._read)

    def streamed(self, start: Continuation, remaining: int | None) -> Page:
        """Read documents until the page is full."""
        skip = start.skip
        results: list[bytes] = []
        size = 0
        for row, index, values in self._from(start.keys):
            result = self._result(row, values)
            if result is None:
                continue
            if skip:
                skip -= 1
                continue
            results.append(result)
            size += len(result)
            if len(results) == remaining:
                break
            if len(results) == self._wanted or size > MAXIMUM_PAGE_BYTES:
                # As on the service, a full page does not tell whether another result follows it.
                following = Continuation(start.taken + len(results), 0, [*row.position, index + 1], start.low)
                return Page(results, encode_token(following), size, self._read)
        return Page(results, None, size, self._read)

    def _from(self, keys: list[Any]) -> Iterator[tuple[Row, int, Values]]:
        """The rows behind a continuation's, with their number in their document."""
        if not all(type(key) is int for key in keys) or len(keys) == 1:
            raise _foreign()
        position = tuple(keys[:-1]) or None
        for row in self.rows.start(position):
            done = keys[-1] if row.position == position else 0
            for index, values in enumerate(self._combinations(row)):
                if index >= done:
                    yield row, index, values

    def sorted(self, start: Continuation, remaining: int | None) -> Page:
        """Find the keys of the page's rows first, and then the documents."""
        found = self._best(start, self._wanted + start.skip + 1)
        page = found[start.skip : start.skip + self._wanted]
        results: list[bytes] = []
        size = used = 0
        for _, position, wanted in page:
            row = self.rows.fetch(position)
            for index, values in enumerate(self._combinations(row) if row is not None else ()):
                if index == wanted and row is not None and (result := self._result(row, values)) is not None:
                    results.append(result)
                    size += len(result)
            used += 1
            if size > MAXIMUM_PAGE_BYTES:
                break
        if start.skip + used >= len(found) or used == remaining:
            return Page(results, None, size, self._read)
        following = Continuation(start.taken + used, 0, _encode_keys(page[used - 1]))
        return Page(results, encode_token(following), size, self._read)

    def _best(self, start: Continuation, count: int) -> list[SortedRow]:
        """The first ``count`` rows behind the continuation: what they are ordered by, and where they are."""
        descending = [each for _, each in self._selection.order_by]
        after = _decode_keys(start.keys, len(descending))
        found: list[SortedRow] = []
        in_order = self.rows.in_order(after[0][0] if after is not None else None)
        unordered = self.rows.start(None) if in_order is None else in_order[0]
        for candidate in self._behind(unordered, after, descending):
            found.append(candidate)
            if len(found) > 2 * count + _SORTED_ROWS:
                found = _first(found, descending, count)
        if in_order is not None:
            found += islice(self._behind(in_order[1], after, descending), count)
        return _first(found, descending, count)

    def _behind(self, rows: Iterable[Row], after: SortedRow | None, descending: Sequence[bool]) -> Iterator[SortedRow]:
        for row in rows:
            for index, values in enumerate(self._combinations(row)):
                candidate = sort_keys(self._selection, values), row.position, index
                if after is None or _is_after(candidate, after, descending):
                    yield candidate


def _first(found: list[SortedRow], descending: Sequence[bool], count: int) -> list[SortedRow]:
    # Those of one key follow each other as they are read, which is what a continuation goes by.
    found.sort(key=itemgetter(1, 2))
    sort(found, descending)
    return found[:count]


def _foreign() -> Exception:
    return bad_request("The continuation token belongs to another query.")


def _encode_keys(row: SortedRow) -> list[Any]:
    keys, position, index = row
    return [*(part for key in keys for part in key), *position, index]


def _decode_keys(flat: list[Any], count: int) -> SortedRow | None:
    if not flat:
        return None
    parts, place = flat[: 2 * count], flat[2 * count :]
    if len(place) != 2 or not all(isinstance(each, int) for each in (*parts[::2], *place)):
        raise _foreign()
    return tuple(zip(parts[::2], parts[1::2], strict=True)), (place[0],), place[1]


def _is_after(row: SortedRow, last: SortedRow, descending: Sequence[bool]) -> bool:
    for mine, other, falls in zip(row[0], last[0], descending, strict=True):
        if mine != other:
            try:
                return (mine < other) is falls
            except TypeError as error:
                raise _foreign() from error
    return row[1:] > last[1:]
