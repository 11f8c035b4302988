"""Whether one document meets a condition: ``FROM c WHERE …``, as a patch carries it."""

import sqlite3
from functools import lru_cache

from cloudscale.emulators.cosmos.query.expressions import ExpressionCompiler
from cloudscale.emulators.cosmos.query.fragments import as_boolean
from cloudscale.emulators.cosmos.query.functions import register
from cloudscale.emulators.cosmos.query.parser import parse_condition
from cloudscale.emulators.cosmos.query.scope import Bindings, Scope, plain_root


def holds(condition: str, document: bytes) -> bool:
    """Whether the condition is true of the document's JSON text; raises CosmosError 400 for a bad condition."""
    alias, expression = parse_condition(condition)
    bindings = Bindings()
    compiler = ExpressionCompiler(bindings, Scope(bindings, {alias: plain_root()}, {}), {})
    test = as_boolean(compiler.compile(expression))
    statement = f"SELECT {test} FROM (SELECT :document AS body) AS d"
    result: int | None
    (result,) = memory().execute(statement, {**bindings.values, "document": document.decode()}).fetchone()
    return result == 1


@lru_cache(maxsize=1)
def memory() -> sqlite3.Connection:
    """A database in memory, for expressions over values that are in no table. Only for the event loop's thread."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.text_factory = bytes
    register(connection)
    return connection
