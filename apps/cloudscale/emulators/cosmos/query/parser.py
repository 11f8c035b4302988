"""Tokens to a tree: a recursive-descent parser for the SELECT of Cosmos DB.

"Query language in Azure Cosmos DB for NoSQL". What is not supported (subqueries, user-defined functions, bitwise
operators, full-text and vector search) is refused with the token's name and position.
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
)
from cloudscale.emulators.cosmos.query.expression_parser import RESERVED_WORDS, ExpressionParser
from cloudscale.emulators.cosmos.query.lexer import Kind, syntax_error, tokenize


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
    alias, joins = parser.source()
    if joins:
        raise syntax_error(parser.token)
    parser.expect("WHERE")
    expression = parser.expression()
    parser.end()
    return alias, expression


class _Parser(ExpressionParser):
    def query(self) -> Query:
        self.expect("SELECT")
        distinct = bool(self._accept("DISTINCT"))
        top = self._count() if self._accept("TOP") else None
        value = self.expression() if self._accept("VALUE") else None
        items: tuple[SelectItem, ...] = ()
        if value is None and not self._accept("*"):
            items = self._select_items()
        alias, joins = self.source() if self._accept("FROM") else ("c", ())
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
        return Query(alias, items, value, distinct, top, joins, where, group_by, order_by, offset, limit)

    def _count(self) -> Expression:
        token = self._next()
        if token.kind is Kind.NUMBER and isinstance(token.value, int):
            return Literal(token.value)
        if token.kind is Kind.PARAMETER:
            return Parameter(token.text, token.position)
        raise syntax_error(token, "a number")

    def _select_items(self) -> tuple[SelectItem, ...]:
        items: list[SelectItem] = []
        unnamed = 0
        while True:
            expression = self.expression()
            if self._accept("AS"):
                name = self._name()
            elif self.token.kind is Kind.WORD and self.token.keyword not in RESERVED_WORDS:
                name = self._next().text
            elif isinstance(expression, Property) and isinstance(expression.key, str):
                name = expression.key
            elif isinstance(expression, Name):
                name = expression.name
            else:
                unnamed += 1
                name = f"${unnamed}"
            if any(item.name == name for item in items):
                raise syntax_error(self.token, f"different names: '{name}' is selected twice")
            items.append(SelectItem(name, expression))
            if not self._accept(","):
                return tuple(items)

    def source(self) -> tuple[str, tuple[Join, ...]]:
        alias = self._name()
        joins: list[Join] = []
        if self._accept("IN"):
            # FROM x IN c.items is a join without its left side.
            joins.append(Join(alias, self._postfix()))
            alias = ""
        elif self._accept("AS") or (self.token.kind is Kind.WORD and self.token.keyword not in RESERVED_WORDS):
            alias = self._name()
        while self._accept("JOIN"):
            name = self._name()
            self.expect("IN")
            joins.append(Join(name, self._postfix()))
        return alias, tuple(joins)

    def _name(self) -> str:
        token = self._next()
        if token.kind is not Kind.WORD or token.keyword in RESERVED_WORDS - {"VALUE", "TOP", "OFFSET", "LIMIT"}:
            raise syntax_error(token, "a name")
        return token.text

    def _orderings(self) -> tuple[Ordering, ...]:
        orderings: list[Ordering] = []
        while True:
            expression = self.expression()
            orderings.append(Ordering(expression, self._accept("ASC", "DESC") == "DESC"))
            if not self._accept(","):
                return tuple(orderings)
