"""Tokens to the tree of one expression: a recursive-descent parser for the expressions of Cosmos SQL.

"Scalar expressions" in "Query language in Azure Cosmos DB for NoSQL". What is not supported (user-defined functions)
is refused with the token's name and position.
"""

from typing import Final

from cloudscale.emulators.cosmos.query.ast import (
    UNDEFINED,
    ArrayLiteral,
    Binary,
    Call,
    Complement,
    Conditional,
    Expression,
    Like,
    Literal,
    Logical,
    Membership,
    Minus,
    Name,
    Negation,
    ObjectLiteral,
    Parameter,
    Property,
    Query,
    Subquery,
)
from cloudscale.emulators.cosmos.query.lexer import Kind, Token, not_supported, syntax_error

MAXIMUM_DEPTH: Final = 60
_COMPARISONS: Final = frozenset({"=", "!=", "<>", "<", "<=", ">", ">="})
# From the loosest binding to the tightest.
_BITWISE: Final = (("|",), ("^",), ("&",), ("<<", ">>", ">>>"))
_CONSTANTS: Final = {"TRUE": True, "FALSE": False, "NULL": None, "UNDEFINED": UNDEFINED}
RESERVED_WORDS: Final = frozenset({
    "SELECT", "FROM", "WHERE", "GROUP", "ORDER", "OFFSET", "LIMIT", "JOIN", "IN", "AS", "BY", "AND", "OR", "NOT",
    "BETWEEN", "LIKE", "ESCAPE", "ASC", "DESC", "TOP", "DISTINCT", "VALUE", "EXISTS", "UDF", "HAVING",
})  # fmt: skip


class ExpressionParser:
    """A position in the tokens; every method takes the tokens that it has read."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._index = 0
        self._depth = 0

    @property
    def token(self) -> Token:
        """The next token."""
        return self._tokens[self._index]

    def _next(self) -> Token:
        token = self.token
        self._index += 1
        return token

    def _accept(self, *texts: str) -> str:
        """Take the next token when it is one of the keywords or symbols; else ""."""
        token = self.token
        text = token.keyword or (token.text if token.kind is Kind.SYMBOL else "")
        if text in texts:
            self._index += 1
            return text
        return ""

    def expect(self, text: str) -> Token:
        """Take the next token, which must be this keyword or symbol; raises CosmosError 400."""
        token = self.token
        if not self._accept(text):
            raise syntax_error(token, text)
        return token

    def end(self) -> None:
        """Raise CosmosError 400 unless all tokens are taken."""
        if self.token.kind is not Kind.END:
            raise syntax_error(self.token)

    def _expressions(self) -> tuple[Expression, ...]:
        expressions = [self.expression()]
        while self._accept(","):
            expressions.append(self.expression())
        return tuple(expressions)

    def subquery(self) -> Query:
        """Take a SELECT; raises CosmosError 400."""
        raise syntax_error(self.token, "an expression: a subquery is not possible here")

    # expressions, from the loosest binding to the tightest

    def expression(self) -> Expression:
        """Take an expression; raises CosmosError 400."""
        self._depth += 1
        if self._depth > MAXIMUM_DEPTH:
            raise syntax_error(self.token, f"less than {MAXIMUM_DEPTH} nested expressions")
        expression = self._coalesce()
        if self._accept("?"):
            yes = self.expression()
            self.expect(":")
            expression = Conditional(expression, yes, self.expression())
        self._depth -= 1
        return expression

    def _coalesce(self) -> Expression:
        left = self._logical("OR")
        while self._accept("??"):
            left = Binary("??", left, self._logical("OR"))
        return left

    def _logical(self, operator: str) -> Expression:
        operand = self._negation if operator == "AND" else lambda: self._logical("AND")
        operands = [operand()]
        while self._accept(operator):
            operands.append(operand())
        return operands[0] if len(operands) == 1 else Logical(operator, tuple(operands))

    def _negation(self) -> Expression:
        negations = 0
        while self._accept("NOT"):
            negations += 1
        expression = self._comparison()
        for _ in range(negations):
            expression = Negation(expression)
        return expression

    def _comparison(self) -> Expression:
        left = self._concatenation()
        while True:
            operator = self._accept(*_COMPARISONS)
            if operator:
                left = Binary("!=" if operator == "<>" else operator, left, self._concatenation())
                continue
            start = self._index
            negated = bool(self._accept("NOT"))
            predicate = self._predicate(left)
            if predicate is None:
                self._index = start
                return left
            left = Negation(predicate) if negated else predicate

    def _predicate(self, left: Expression) -> Expression | None:
        token = self.token
        if self._accept("IN"):
            self.expect("(")
            choices = self._expressions()
            self.expect(")")
            return Membership(left, choices)
        if self._accept("BETWEEN"):
            low = self._concatenation()
            self.expect("AND")
            return Logical("AND", (Binary(">=", left, low), Binary("<=", left, self._concatenation())))
        if self._accept("LIKE"):
            pattern = self._concatenation()
            escape = None
            if self._accept("ESCAPE"):
                escape_token = self._next()
                if escape_token.kind is not Kind.STRING or len(str(escape_token.value)) != 1:
                    raise syntax_error(escape_token, "one character in quotes")
                escape = str(escape_token.value)
            return Like(left, pattern, escape, token.position)
        return None

    def _concatenation(self) -> Expression:
        left = self._bitwise(0)
        while self._accept("||"):
            left = Binary("||", left, self._bitwise(0))
        return left

    def _bitwise(self, level: int) -> Expression:
        if level == len(_BITWISE):
            return self._sum()
        left = self._bitwise(level + 1)
        while operator := self._accept(*_BITWISE[level]):
            left = Binary(operator, left, self._bitwise(level + 1))
        return left

    def _sum(self) -> Expression:
        left = self._product()
        while operator := self._accept("+", "-"):
            left = Binary(operator, left, self._product())
        return left

    def _product(self) -> Expression:
        left = self._unary()
        while operator := self._accept("*", "/", "%"):
            left = Binary(operator, left, self._unary())
        return left

    def _unary(self) -> Expression:
        minus = False
        while operator := self._accept("-", "+"):
            minus ^= operator == "-"
        complements = 0
        while self._accept("~"):
            complements += 1
        operand = self._unary() if complements and self.token.text in ("-", "+") else self._postfix()
        for _ in range(complements):
            operand = Complement(operand)
        if minus and isinstance(operand, Literal) and isinstance(operand.value, int | float):
            return Literal(-operand.value)
        return Minus(operand) if minus else operand

    def _postfix(self) -> Expression:
        expression = self._primary()
        while self.token.text in (".", "[") and self.token.kind is Kind.SYMBOL:
            expression = self._step(expression)
        return expression

    def _step(self, target: Expression) -> Property:
        """Take ``.name`` or ``[key]``."""
        if self._next().text == ".":
            token = self._next()
            if token.kind is not Kind.WORD:
                raise syntax_error(token, "a property name")
            return Property(target, token.text)
        token = self._next()
        key: str | int | Parameter
        if token.kind is Kind.PARAMETER:
            key = Parameter(token.text, token.position)
        elif token.kind in (Kind.STRING, Kind.NUMBER) and not isinstance(token.value, float):
            key = token.value
        else:
            raise syntax_error(token, "a quoted name or an index")
        self.expect("]")
        return Property(target, key)

    def _primary(self) -> Expression:
        token = self._next()
        if token.kind in (Kind.STRING, Kind.NUMBER):
            return Literal(token.value)
        if token.kind is Kind.PARAMETER:
            return Parameter(token.text, token.position)
        if token.kind is Kind.WORD:
            return self._word(token)
        if token.text == "(":
            expression = Subquery(self.subquery()) if self.token.keyword == "SELECT" else self.expression()
            self.expect(")")
            return expression
        if token.text == "[":
            elements = () if self.token.text == "]" else self._expressions()
            self.expect("]")
            return ArrayLiteral(elements)
        if token.text == "{":
            return self._object()
        raise syntax_error(token, "an expression")

    def _word(self, token: Token) -> Expression:
        if token.keyword in _CONSTANTS:
            return Literal(_CONSTANTS[token.keyword])
        if token.keyword == "UDF" and self.token.text == ".":
            raise not_supported("A user-defined function", token.position)
        if token.keyword in ("EXISTS", "ARRAY") and self.token.text == "(":
            self._next()
            query = self.subquery()
            self.expect(")")
            return Subquery(query, token.keyword)
        if self.token.text == "(" and self.token.kind is Kind.SYMBOL and token.keyword not in RESERVED_WORDS:
            self._next()
            arguments: tuple[Expression, ...] = ()
            if self.token.text != ")":
                arguments = self._expressions()
            self.expect(")")
            return Call(token.keyword, arguments, token.position)
        if token.keyword in RESERVED_WORDS:
            raise syntax_error(token, "an expression")
        return Name(token.text, token.position)

    def _object(self) -> Expression:
        members: list[tuple[str, Expression]] = []
        while self.token.text != "}":
            key = self._next()
            if key.kind not in (Kind.STRING, Kind.WORD):
                raise syntax_error(key, "a member's name")
            self.expect(":")
            members.append((str(key.value) if key.kind is Kind.STRING else key.text, self.expression()))
            if not self._accept(","):
                break
        self.expect("}")
        return ObjectLiteral(tuple(members))
