"""Tokens to a tree: a recursive-descent parser for the SELECT of Cosmos DB.

"Query language in Azure Cosmos DB for NoSQL". What is not supported (user-defined functions, full-text and vector
search) is refused with the token's name and position.
"""

from cloudscale.emulators.cosmos.query.ast import (
    Expression,
    Join,
    Literal,
    Name,
    Ordering,
    Parameter,
    Property,
    Query,
    SelectItem,
    Subquery,
)
from cloudscale.emulators.cosmos.query.expression_parser import MAXIMUM_DEPTH, RESERVED_WORDS, ExpressionParser
from cloudscale.emulators.cosmos.query.lexer import Kind, not_supported, syntax_error, tokenize


def parse_query(text: str) -> Query:
    """Read a whole query; raises CosmosError 400."""
    parser = _Parser(tokenize(text))
    query = parser.query()
    parser.end()
    return query


def parse_condition(text: str) -> tuple[str, Expression]:
    """Read ``FROM alias WHERE expression``: the alias and the expression."""
    parser = _Parser(tokenize(text))
    parser.expect("FROM")
    container, _, joins = parser.source()
    if joins:
        raise syntax_error(parser.token)
    parser.expect("WHERE")
    expression = parser.expression()
    parser.end()
    return container, expression


class _Parser(ExpressionParser):
    def query(self) -> Query:
        self.expect("SELECT")
        distinct = bool(self._accept("DISTINCT"))
        top = self._count() if self._accept("TOP") else None
        value = self.expression() if self._accept("VALUE") else None
        items: tuple[SelectItem, ...] = ()
        everything = value is None and bool(self._accept("*"))
        if value is None and not everything:
            items = self._select_items()
        container, selects_document, joins = self.source() if self._accept("FROM") else ("", False, ())
        if everything and not container and not joins:
            raise syntax_error(self.token, "FROM: 'SELECT *' needs something to select from")
        where = self.expression() if self._accept("WHERE") else None
        group_by: tuple[Expression, ...] = ()
        if self._accept("GROUP"):
            self.expect("BY")
            group_by = self._expressions()
        order_by: tuple[Ordering, ...] = ()
        if self._accept("ORDER"):
            self.expect("BY")
            order_by = self._orderings()
        offset = limit = None
        if self._accept("OFFSET"):
            offset = self._count()
            self.expect("LIMIT")
            limit = self._count()
        return Query(
            container=container,
            selects_document=selects_document,
            items=items,
            value=value,
            distinct=distinct,
            top=top,
            joins=joins,
            where=where,
            group_by=group_by,
            order_by=order_by,
            offset=offset,
            limit=limit,
        )

    def subquery(self) -> Query:
        self._depth += 1
        if self._depth > MAXIMUM_DEPTH:
            raise syntax_error(self.token, f"less than {MAXIMUM_DEPTH} nested subqueries")
        query = self.query()
        self._depth -= 1
        return query

    def _count(self) -> Expression:
        token = self._next()
        if token.kind is Kind.NUMBER and isinstance(token.value, int):
            return Literal(token.value)
        if token.kind is Kind.PARAMETER:
            return Parameter(token.text, token.position)
        raise syntax_error(token, "a number")

    def _select_items(self) -> tuple[SelectItem, ...]:
        items: list[SelectItem] = []
        names: set[str] = set()
        unnamed = 0
        while True:
            expression = self.expression()
            if self._accept("AS"):
                name = str(self._next().value) if self.token.kind is Kind.STRING else self._name()
            elif self.token.kind is Kind.WORD and self.token.keyword not in RESERVED_WORDS:
                name = self._next().text
            elif isinstance(expression, Property) and isinstance(expression.key, str):
                name = expression.key
            elif isinstance(expression, Name):
                name = expression.name
            else:
                unnamed += 1
                name = f"${unnamed}"
            if name in names:
                raise syntax_error(self.token, f"different names: '{name}' is selected twice")
            names.add(name)
            items.append(SelectItem(name, expression))
            if not self._accept(","):
                return tuple(items)

    def source(self) -> tuple[str, bool, tuple[Join, ...]]:
        """The document's name, whether it is what is selected from, and all other sources."""
        first = self._join(is_first=True)
        # The name in FROM is the container's, whatever it is called.
        selects_document = isinstance(first.source, Name) and not first.each
        container = first.alias if selects_document else _base(first.source)
        joins = [] if selects_document else [first]
        while self._accept("JOIN"):
            joins.append(self._join(is_first=False))
        return container, selects_document, tuple(joins)

    def _join(self, *, is_first: bool) -> Join:
        if self.token.text == "(" and self.token.kind is Kind.SYMBOL:
            source = self._from_subquery()
            return Join(self._alias(), source)
        start = self.token
        name = self._name()
        if self._accept("IN"):
            is_subquery = self.token.text == "(" and self.token.kind is Kind.SYMBOL
            return Join(name, self._from_subquery() if is_subquery else self._postfix())
        if not is_first:
            raise syntax_error(self.token, "IN")
        path: Expression = Name(name, start.position)
        last = name
        while self.token.text in (".", "[") and self.token.kind is Kind.SYMBOL:
            step = self._step(path)
            path, last = step, step.key if isinstance(step.key, str) else ""
        return Join(self._alias() or last, path, each=False)

    def _from_subquery(self) -> Expression:
        self.expect("(")
        query = self.subquery()
        self.expect(")")
        return Subquery(query)

    def _alias(self) -> str:
        if self._accept("AS"):
            return self._name()
        if self.token.kind is Kind.WORD and self.token.keyword not in RESERVED_WORDS:
            return self._next().text
        return ""

    def _name(self) -> str:
        token = self._next()
        if token.kind is not Kind.WORD or token.keyword in RESERVED_WORDS - {"VALUE", "TOP", "OFFSET", "LIMIT"}:
            raise syntax_error(token, "a name")
        return token.text

    def _orderings(self) -> tuple[Ordering, ...]:
        if self.token.keyword == "RANK":
            raise not_supported("ORDER BY RANK", self.token.position)
        orderings: list[Ordering] = []
        while True:
            expression = self.expression()
            orderings.append(Ordering(expression, self._accept("ASC", "DESC") == "DESC"))
            if not self._accept(","):
                return tuple(orderings)


def _base(source: Expression) -> str:
    """The name that a path begins with; empty for what is no path."""
    while isinstance(source, Property):
        source = source.target
    return source.name if isinstance(source, Name) else ""
