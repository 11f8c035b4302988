"""A whole query to one SQLite statement."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from cloudscale.emulators.cosmos.errors import bad_request
from cloudscale.emulators.cosmos.query import aggregates
from cloudscale.emulators.cosmos.query.ast import Call, Expression, Literal, Name, Ordering, Property, Query
from cloudscale.emulators.cosmos.query.expressions import ExpressionCompiler
from cloudscale.emulators.cosmos.query.fragments import (
    Kind,
    as_boolean,
    as_json,
    canonical,
    comparable,
    rank,
    type_class,
)
from cloudscale.emulators.cosmos.query.scope import Bindings, Root, Scope, element_root


@dataclass(frozen=True, slots=True)
class Key:
    """A column that results are ordered by."""

    sql: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """``SELECT result FROM source WHERE conditions``, in parts that execution puts together page by page.

    Where ``grouping`` is None every result belongs to a document and pages go on after the last one's ``keys``;
    otherwise results are computed as a whole and pages go on after a number of them.
    """

    result: str
    source: str
    conditions: list[str]
    keys: list[Key]
    grouping: str | None
    distinct: bool
    joined: bool
    offset: int
    limit: int | None
    bindings: Bindings

    @property
    def is_ordered(self) -> bool:
        """Whether the keys are more than the documents' own order."""
        return len(self.keys) > 1


def root_alias(query: Query) -> str:
    """The name of the document itself."""
    if query.alias:
        return query.alias
    source: Expression = query.joins[0].source
    while isinstance(source, Property):
        source = source.target
    return source.name if isinstance(source, Name) else ""


def compile_query(
    query: Query, *, table: str, root: Root, bindings: Bindings, parameters: Mapping[str, Any], where: Expression | None
) -> Statement:
    """Compile ``query`` over ``table`` (alias ``d``, with a column ``number``), with ``where`` for its condition."""
    tables = {join.alias: f"j{index}" for index, join in enumerate(query.joins)}
    roots = {root_alias(query): root}
    compiler = ExpressionCompiler(bindings, Scope(bindings, roots, tables), parameters)
    source = f"{table} AS d"
    for join in query.joins:
        array = compiler.compile(join.source)
        json, kind = as_json(array), array.type if array.kind is Kind.ANY else "NULL"
        source += f" JOIN json_each(CASE {kind} WHEN 'array' THEN {json} ELSE '[]' END) AS {tables[join.alias]}"
        roots[join.alias] = element_root(tables[join.alias])
    conditions = [] if where is None else [as_boolean(compiler.compile(where))]
    result = _result(query, compiler, root)
    grouping = _grouping(query, compiler, result)
    own_order = [Key("d.number", descending=False), *(Key(f"{name}.key", descending=False) for name in tables.values())]
    if grouping is not None:
        own_order = [Key("min(d.number)", descending=False)] if grouping else []
    return Statement(
        result=result,
        source=source,
        conditions=conditions,
        keys=[*_order_keys(query.order_by, compiler, root), *own_order],
        grouping=grouping,
        distinct=query.distinct and bool(query.group_by),
        joined=bool(tables),
        offset=_count(compiler, query.offset) or 0,
        limit=_smaller(_count(compiler, query.top), _count(compiler, query.limit)),
        bindings=bindings,
    )


def counts_documents(query: Query) -> bool:
    """Whether the query is nothing but ``SELECT VALUE COUNT(1)`` over whatever the conditions leave."""
    return (
        isinstance(query.value, Call)
        and query.value.name == "COUNT"
        and len(query.value.arguments) == 1
        and isinstance(query.value.arguments[0], Literal)
        and not (query.distinct or query.joins or query.group_by or query.order_by or query.top or query.offset)
    )


def _result(query: Query, compiler: ExpressionCompiler, root: Root) -> str:
    if query.value is not None:
        return as_json(compiler.compile(query.value))
    if query.items:
        members = [(item.name, compiler.compile(item.expression)) for item in query.items]
        return as_json(compiler.object_of(members))
    if query.alias and query.joins:
        raise bad_request("'SELECT *' is not valid with JOIN: name what to select.")
    return root.whole if query.alias else as_json(compiler.compile(Name(query.joins[0].alias, 0)))


def _grouping(query: Query, compiler: ExpressionCompiler, result: str) -> str | None:
    """The GROUP BY list: None when results are documents' own, "" when all documents make one result."""
    if query.group_by:
        columns: list[str] = []
        for expression in query.group_by:
            fragment = compiler.compile(expression)
            # The type tells 1 from true and "1", the scalar makes 1 and 1.0 one group.
            columns += [type_class(fragment), comparable(fragment)]
        return ", ".join(columns)
    selected = [query.value, *(item.expression for item in query.items)]
    if any(_has_aggregate(expression) for expression in selected):
        return ""
    return canonical(result) if query.distinct else None


def _has_aggregate(node: object) -> bool:
    if isinstance(node, Call) and node.name in aggregates.NAMES:
        return True
    if isinstance(node, tuple):
        return any(_has_aggregate(each) for each in node)
    if is_dataclass(node):
        return any(_has_aggregate(getattr(node, each.name)) for each in fields(node))
    return False


def _order_keys(orderings: tuple[Ordering, ...], compiler: ExpressionCompiler, root: Root) -> list[Key]:
    keys: list[Key] = []
    for ordering in orderings:
        fragment = compiler.compile(ordering.expression)
        if fragment is root.system.get("_ts"):
            # Timestamps rise with sequence numbers, which have an index.
            keys.append(Key("d.lsn", ordering.descending))
            continue
        if fragment.kind is Kind.ANY:
            keys.append(Key(rank(fragment), ordering.descending))
        keys.append(Key(fragment.scalar, ordering.descending))
    return keys


def _count(compiler: ExpressionCompiler, expression: Expression | None) -> int | None:
    if expression is None:
        return None
    value = compiler.constant_of(expression)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise bad_request("TOP, OFFSET and LIMIT take a whole number that is not negative.")
    return value


def _smaller(left: int | None, right: int | None) -> int | None:
    return min((each for each in (left, right) if each is not None), default=None)
