"""Runs a statement page by page.

Pages of documents go on after the keys of the last result (keyset pagination), so whatever is written between two
pages moves nothing: a document that exists all the time is returned exactly once, in the order of its number, which
never changes, or of the ORDER BY.
"""

import base64
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from cloudscale.emulators.cosmos.decoding import decode_json
from cloudscale.emulators.cosmos.errors import CosmosError, bad_request, is_missing_table
from cloudscale.emulators.cosmos.query.fragments import canonical
from cloudscale.emulators.cosmos.query.statement import Key, Statement

MAXIMUM_PAGE_BYTES: Final = 4 * 1024 * 1024
MAXIMUM_PAGE_ITEMS: Final = 1_000
QUERY_SECONDS: Final = 60.0
_INSTRUCTIONS_BETWEEN_CHECKS: Final = 100_000


class Continuation(msgspec.Struct, array_like=True):
    """Where the next page begins: after ``keys``, or after ``skip`` results; ``taken`` results were given so far."""

    taken: int
    skip: int = 0
    keys: list[str | int | float | None] = []


_continuation_decoder: Final = msgspec.json.Decoder(Continuation)


@dataclass(frozen=True, slots=True)
class Page:
    """Results as JSON text, and the token for the next page unless this was the last."""

    results: list[bytes]
    token: str | None
    size: int


def decode_token(token: str | None) -> Continuation | None:
    """Read a continuation token; raises CosmosError 400."""
    if not token:
        return None
    try:
        text = base64.b64decode(token, validate=True)
    except ValueError as error:
        raise bad_request(f"The continuation token is not base64: {error}.") from error
    return decode_json(_continuation_decoder, text, "The continuation token")


def _encode_token(continuation: Continuation) -> str:
    return base64.b64encode(msgspec.json.encode(continuation)).decode()


def run_page(
    connection: sqlite3.Connection,
    statement: Statement,
    *,
    page_size: int,
    continuation: Continuation | None,
    values: Mapping[str, object] | None = None,
) -> Page:
    """The next page; raises CosmosError 400 for what SQLite cannot do, 408 for a query that takes too long."""
    start = continuation or Continuation(taken=0, skip=statement.offset)
    remaining = None if statement.limit is None else statement.limit - start.taken
    if remaining is not None and remaining <= 0:
        return Page([], None, 0)
    wanted = page_size if remaining is None else min(page_size, remaining)
    bound = {**statement.bindings.values, **(values or {})}
    if statement.grouping is None and len(start.keys) not in (0, len(statement.keys)):
        raise bad_request("The continuation token belongs to another query.")
    sql = _row_sql(statement, start, bound) if statement.grouping is None else _group_sql(statement)
    # One more than asked for tells whether there is another page.
    bound |= {"page": wanted + 1, "skip": start.skip}
    rows = _execute(connection, sql, bound)
    results: list[bytes] = []
    size = used = 0
    for row in rows[:wanted]:
        used += 1
        if row[0] is not None:
            results.append(row[0])
            size += len(row[0])
        if size > MAXIMUM_PAGE_BYTES:
            break
    if used == len(rows) or used == remaining:
        return Page(results, None, size)
    following = Continuation(start.taken + used)
    if statement.grouping is None:
        following.keys = [key.decode() if isinstance(key, bytes) else key for key in rows[used - 1][1:]]
    else:
        following.skip = start.skip + used
    return Page(results, _encode_token(following), size)


def _execute(connection: sqlite3.Connection, sql: str, values: Mapping[str, object]) -> list[tuple[bytes | None, ...]]:
    deadline = time.monotonic() + QUERY_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _INSTRUCTIONS_BETWEEN_CHECKS)
    try:
        return connection.execute(sql, values).fetchall()
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise CosmosError(408, f"The query took longer than {QUERY_SECONDS:g} s.") from error
        if is_missing_table(error):
            raise
        raise bad_request(f"The query cannot be run: {error}.") from error
    finally:
        connection.set_progress_handler(None, 0)


def _where(conditions: list[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _order_by(keys: list[str], directions: list[Key]) -> str:
    terms = [f"{name} DESC" if key.descending else name for name, key in zip(keys, directions, strict=True)]
    return f" ORDER BY {', '.join(terms)}" if terms else ""


def _row_sql(statement: Statement, start: Continuation, values: dict[str, object]) -> str:
    names = [key.sql for key in statement.keys]
    conditions = list(statement.conditions)
    if start.keys:
        conditions.append(_after(statement.keys, start, values))
    tail = f" FROM {statement.source}{_where(conditions)}{_order_by(names, statement.keys)} LIMIT :page OFFSET :skip"
    if not statement.is_ordered or statement.joined:
        return f"SELECT {statement.result}, {', '.join(names)}{tail}"
    # Sort keys and numbers only; the documents themselves are looked up for the page.
    aliases = [f"k{index}" for index in range(len(names))]
    columns = ", ".join(f"{name} AS {alias}" for name, alias in zip(names, aliases, strict=True))
    return (
        f"SELECT {statement.result}, {', '.join(aliases)} FROM (SELECT {columns}{tail}) AS s "
        f"CROSS JOIN {statement.source} ON d.number = s.{aliases[-1]}{_order_by(aliases, statement.keys)}"
    )


def _after(keys: list[Key], start: Continuation, values: dict[str, object]) -> str:
    """The condition that a row comes after the given keys, most significant first."""
    alternatives: list[str] = []
    same: list[str] = []
    for index, (key, value) in enumerate(zip(keys, start.keys, strict=True)):
        values[f"k{index}"] = value
        if value is None:
            # NULL sorts before everything, so only an ascending order has something after it.
            step = "0" if key.descending else f"{key.sql} IS NOT NULL"
        elif key.descending:
            step = f"({key.sql} < :k{index} OR {key.sql} IS NULL)"
        else:
            step = f"{key.sql} > :k{index}"
        alternatives.append("(" + " AND ".join([*same, step]) + ")")
        same.append(f"{key.sql} IS :k{index}")
    return f"({' OR '.join(alternatives)})"


def _group_sql(statement: Statement) -> str:
    names = [key.sql for key in statement.keys]
    grouping = f" GROUP BY {statement.grouping}" if statement.grouping else ""
    sql = (
        f"SELECT {statement.result} AS result FROM {statement.source}{_where(statement.conditions)}"
        f"{grouping}{_order_by(names, statement.keys)}"
    )
    if statement.distinct:
        sql = f"SELECT result FROM ({sql}) GROUP BY {canonical('result')}"
    return f"{sql} LIMIT :page OFFSET :skip"
