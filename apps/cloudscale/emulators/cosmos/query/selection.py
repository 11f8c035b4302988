"""A SELECT to functions: the rows it is about, which of them count, and what becomes of them."""

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from cloudscale.emulators.cosmos.errors import bad_request
from cloudscale.emulators.cosmos.query.aggregates import Aggregate
from cloudscale.emulators.cosmos.query.ast import (
    UNDEFINED,
    Call,
    Expression,
    Join,
    Literal,
    Name,
    Property,
    Query,
    Subquery,
)
from cloudscale.emulators.cosmos.query.compiler import Compiler
from cloudscale.emulators.cosmos.query.results import compute
from cloudscale.emulators.cosmos.query.scope import DOCUMENT, Compilation, Evaluate, Scope, Values


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from: the values that take turns at a place."""

    place: int
    values: Callable[[Values], list[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A compiled SELECT.

    ``group_by`` is None when every row is a result, and empty when all rows together are one. ``is_document`` says that
    a result is the document as it is stored. ``merged_order`` is what each result is sent with for a client that merges
    the answers of several partitions: None for any other.
    """

    sources: list[Source]
    where: Evaluate | None
    result: Evaluate
    is_document: bool
    reads_documents: bool
    group_by: list[Evaluate] | None
    aggregates: list[Aggregate]
    order_by: list[tuple[Evaluate, bool]]
    distinct: bool
    offset: int
    limit: int | None
    step: Callable[[], None] = field(repr=False)
    merged_order: list[Evaluate] | None = None

    def for_merging(self) -> "Selection":
        """What a client is sent that orders, skips and counts the results by itself."""
        # What aggregates give of a range has no order among that of others.
        order = None if self.group_by is not None else [evaluate for evaluate, _ in self.order_by] or None
        limit = None if self.limit is None else self.offset + self.limit
        return replace(self, merged_order=order, offset=0, limit=limit)

    def rows(self, values: Values) -> Iterator[Values]:
        """The rows of one document that meet the condition. Each is the same list with other values in it."""
        where = self.where
        for _ in self._combinations(values, 0) if self.sources else (values,):
            if where is None or where(values) is True:
                yield values

    def _combinations(self, values: Values, depth: int) -> Iterator[Values]:
        source = self.sources[depth]
        for value in source.values(values):
            self.step()
            values[source.place] = value
            if depth + 1 == len(self.sources):
                yield values
            else:
                yield from self._combinations(values, depth + 1)

    @property
    def is_whole(self) -> bool:
        """Whether results can only be computed from all rows together."""
        return self.group_by is not None or self.distinct


def compile_query(query: Query, compilation: Compilation, *, where: Expression | None) -> Selection:
    """Compile a whole query, with ``where`` for its condition; raises CosmosError 400."""
    return _select(query, compilation, Scope({}), where=where, is_top=True)


def compile_subquery(query: Query, compilation: Compilation, scope: Scope) -> Callable[[Values], list[Any]]:
    """Compile a query inside of another one, over the values that are there; raises CosmosError 400."""
    selection = _select(query, compilation, scope, where=query.where, is_top=False)
    if selection.reads_documents and (selection.is_whole or selection.order_by or selection.limit is not None):
        raise bad_request(
            "A subquery over all documents that counts, sorts or limits them is not supported by this emulator: "
            "select from an array of the document, or do it in the outer query."
        )

    def results(values: Values) -> list[Any]:
        return compute(selection, selection.rows(values), values)

    return results


def _select(
    query: Query, compilation: Compilation, scope: Scope, *, where: Expression | None, is_top: bool
) -> Selection:
    names = dict(scope.names)
    reads_documents = bool(query.container) and query.container not in names
    if reads_documents:
        names[query.container] = DOCUMENT
    own = {query.container} if query.selects_document else set()
    sources: list[Source] = []
    for join in query.joins:
        compiler = Compiler(compilation, Scope(names), compile_subquery)
        place = compilation.new_place()
        sources.append(Source(place, _source_values(compiler, join)))
        if join.alias in own:
            raise bad_request(f"The name '{join.alias}' is used twice in FROM.")
        if join.alias:
            own.add(join.alias)
            names[join.alias] = place
    compiler = Compiler(compilation, Scope(names), compile_subquery)
    condition = None if where is None else compiler.compile(where)
    group_by = [compiler.compile(expression) for expression in query.group_by]
    aggregates: list[Aggregate] = []
    compiler.aggregates = aggregates
    result = _result(query, compiler, sources)
    is_document = result is None and is_top and not (query.group_by or query.distinct)
    if is_document:
        # It is answered as it is stored: nothing of it has to be read for that.
        result = operator.itemgetter(DOCUMENT)
    order_by = [(compiler.compile(each.expression), each.descending) for each in query.order_by]
    limits = [_count(compiler, each) for each in (query.top, query.limit) if each is not None]
    return Selection(
        sources=sources,
        where=condition,
        result=result or compiler.compile(Name(query.container, 0)),
        is_document=is_document,
        reads_documents=reads_documents or _reads_documents(query, scope),
        group_by=group_by if query.group_by or aggregates else None,
        aggregates=aggregates,
        order_by=order_by,
        distinct=query.distinct,
        offset=0 if query.offset is None else _count(compiler, query.offset),
        limit=min(limits, default=None),
        step=compilation.deadline.step,
    )


def _reads_documents(query: Query, scope: Scope) -> bool:
    """Whether a subquery in FROM is about the documents, so that the query around it is too."""
    return any(
        isinstance(join.source, Subquery)
        and (
            (bool(join.source.query.container) and join.source.query.container not in scope.names)
            or _reads_documents(join.source.query, scope)
        )
        for join in query.joins
    )


def _source_values(compiler: Compiler, join: Join) -> Callable[[Values], list[Any]]:
    if isinstance(join.source, Subquery):
        return compiler.compile(Subquery(join.source.query, "ARRAY"))
    source = compiler.compile(join.source)
    if join.each:
        return lambda values: found if isinstance(found := source(values), list) else []
    return lambda values: [] if (found := source(values)) is UNDEFINED else [found]


def _result(query: Query, compiler: Compiler, sources: list[Source]) -> Evaluate | None:
    """The function that gives results; None for the document itself."""
    if query.value is not None:
        return (
            None
            if query.value == Name(query.container, getattr(query.value, "position", 0))
            else compiler.compile(query.value)
        )
    if query.items:
        return compiler.object_of([(item.name, item.expression) for item in query.items])
    if query.selects_document:
        if query.joins:
            raise bad_request("'SELECT *' is not valid with JOIN: name what to select.")
        return None
    if len(sources) > 1:
        raise bad_request("'SELECT *' is not valid with several sources: name what to select.")
    place = sources[0].place
    return lambda values: values[place]


def _count(compiler: Compiler, expression: Expression) -> int:
    value = compiler.constant_of(expression)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise bad_request("TOP, OFFSET and LIMIT take a whole number that is not negative.")
    return value


def counts_documents(query: Query) -> bool:
    """Whether the query is nothing but ``SELECT VALUE COUNT(1)`` over whatever the conditions leave."""
    return (
        isinstance(query.value, Call)
        and query.value.name == "COUNT"
        and len(query.value.arguments) == 1
        and isinstance(query.value.arguments[0], Literal)
        and query.value.arguments[0].value is not UNDEFINED
        and query.selects_document
        and not (query.distinct or query.joins or query.group_by or query.order_by or query.top or query.offset)
        and query.limit is None
    )


def ordering_member(query: Query) -> str | None:
    """The member at the top of the document that the results are ordered by, where nothing but this order is needed."""
    if len(query.order_by) != 1 or query.group_by or query.distinct or query.joins:
        return None
    expression = query.order_by[0].expression
    if not isinstance(expression, Property) or not isinstance(expression.key, str):
        return None
    is_of_document = expression.target == Name(query.container, getattr(expression.target, "position", 0))
    return expression.key if is_of_document else None
