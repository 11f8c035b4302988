"""Expressions of Cosmos SQL to functions of a row's values."""

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from cloudscale.emulators.cosmos.errors import bad_request
from cloudscale.emulators.cosmos.query import aggregates, functions, patterns
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
from cloudscale.emulators.cosmos.query.operators import BINARY, complement, conjunction, disjunction, membership
from cloudscale.emulators.cosmos.query.scope import DOCUMENT, Compilation, Evaluate, Scope, Values
from cloudscale.emulators.cosmos.query.values import encode, is_number, number


class NotConstant:
    """The value of what is no constant."""


NOT_CONSTANT: Final = NotConstant()


class CompileSubquery(Protocol):
    """Turns a subquery into a function that gives all its results."""

    def __call__(self, query: Query, compilation: Compilation, scope: Scope) -> Callable[[Values], list[Any]]:
        """The function; raises CosmosError 400."""


class Compiler:
    """Compiles the expressions of one SELECT.

    ``aggregates`` collects the aggregate functions that an expression has; it is None where none may be.
    """

    def __init__(self, compilation: Compilation, scope: Scope, subquery: CompileSubquery) -> None:
        self._compilation = compilation
        self._scope = scope
        self._subquery = subquery
        self.aggregates: list[aggregates.Aggregate] | None = None

    def compile(self, expression: Expression) -> Evaluate:  # noqa: C901, PLR0912 - one case for each kind of node
        """The function for an expression; raises CosmosError 400 for what is not supported."""
        match expression:
            case Literal(value):
                return _constant(value)
            case Parameter(name, position):
                return _constant(self._compilation.parameter(name, position))
            case Name():
                return self._name(expression)
            case Property(target, key):
                return self._property(target, key)
            case Negation(operand):
                return _negated(self.compile(operand))
            case Minus(operand):
                return _minus(self.compile(operand))
            case Complement(operand):
                return complement(self.compile(operand))
            case Logical("AND", operands):
                return conjunction([self.compile(operand) for operand in operands])
            case Logical(_, operands):
                return disjunction([self.compile(operand) for operand in operands])
            case Binary(symbol, left, right):
                return BINARY[symbol](self.compile(left), self.compile(right))
            case Membership(operand, choices):
                return self._membership(operand, choices)
            case Like():
                return self._like(expression)
            case Conditional(condition, yes, no):
                return _choice(self.compile(condition), self.compile(yes), self.compile(no))
            case Call():
                return self._call(expression)
            case ObjectLiteral(members):
                return _object([(name, self.compile(value)) for name, value in members])
            case ArrayLiteral(elements):
                return _array([self.compile(element) for element in elements])
            case Subquery(query, use):
                return _subquery(self._subquery(query, self._compilation, self._scope), use)

    def constant_of(self, expression: Expression) -> Any:
        """The value of a literal or parameter, else NOT_CONSTANT."""
        match expression:
            case Literal(value):
                return value
            case Parameter(name, position):
                return self._compilation.parameter(name, position)
        return NOT_CONSTANT

    def object_of(self, members: Sequence[tuple[str, Expression]]) -> Evaluate:
        """An object that has the members which are defined."""
        return _object([(name, self.compile(value)) for name, value in members])

    def _name(self, name: Name) -> Evaluate:
        place = self._scope.find(name)
        if place == DOCUMENT:
            self._compilation.use.whole = True
        return operator.itemgetter(place)

    def _property(self, target: Expression, key: str | int | Parameter) -> Evaluate:
        if isinstance(key, Parameter):
            value = self._compilation.parameter(key.name, key.position)
            if isinstance(value, bool) or not isinstance(value, str | int):
                raise bad_request(f"The parameter '{key.name}' names no property: it must be a string or an index.")
            key = value
        if isinstance(target, Name):
            place = self._scope.find(target)
            if place == DOCUMENT:
                return self._document_property(key)
            return _member(operator.itemgetter(place), key)
        return _member(self.compile(target), key)

    def _document_property(self, key: str | int) -> Evaluate:
        if isinstance(key, int):
            return lambda _: UNDEFINED
        computed = self._compilation.computed.get(key)
        if computed is not None:
            # It knows none of the names of the query.
            return Compiler(self._compilation, Scope({}), self._subquery).compile(computed)
        self._compilation.use.names.add(key)
        return lambda values: values[DOCUMENT].get(key, UNDEFINED)

    def _membership(self, operand: Expression, choices: Sequence[Expression]) -> Evaluate:
        constants = []
        others = []
        for choice in choices:
            value = self.constant_of(choice)
            if value is NOT_CONSTANT:
                others.append(self.compile(choice))
            else:
                constants.append(value)
        return membership(self.compile(operand), constants, others)

    def _like(self, expression: Like) -> Evaluate:
        operand, pattern, escape = self.compile(expression.operand), self.compile(expression.pattern), expression.escape
        constant = self.constant_of(expression.pattern)
        if isinstance(constant, str):
            matches = patterns.like(constant, escape)
            return lambda values: matches(value) if isinstance(value := operand(values), str) else UNDEFINED

        def test(values: Values) -> Any:
            text, wanted = operand(values), pattern(values)
            return (
                patterns.like(wanted, escape)(text) if isinstance(text, str) and isinstance(wanted, str) else UNDEFINED
            )

        return test

    def _call(self, call: Call) -> Evaluate:
        if call.name not in aggregates.NAMES:
            return functions.compile_call(self._compilation, call, [self.compile(each) for each in call.arguments])
        if self.aggregates is None:
            raise bad_request(f"{call.name} at position {call.position} is possible in SELECT only.")
        collected, self.aggregates = self.aggregates, None
        arguments = [self.compile(argument) for argument in call.arguments]
        self.aggregates = collected
        place = self._compilation.new_place()
        collected.append(aggregates.aggregate(call, arguments, place))
        return operator.itemgetter(place)


def _constant(value: Any) -> Evaluate:
    return lambda _: value


def _member(target: Evaluate, key: str | int) -> Evaluate:
    if isinstance(key, str):

        def member(values: Values) -> Any:
            value = target(values)
            return value.get(key, UNDEFINED) if isinstance(value, dict) else UNDEFINED

        return member

    def element(values: Values) -> Any:
        value = target(values)
        return value[key] if isinstance(value, list) and 0 <= key < len(value) else UNDEFINED

    return element


def _negated(operand: Evaluate) -> Evaluate:
    def evaluate(values: Values) -> Any:
        value = operand(values)
        return not value if isinstance(value, bool) else UNDEFINED

    return evaluate


def _minus(operand: Evaluate) -> Evaluate:
    def evaluate(values: Values) -> Any:
        value = operand(values)
        return number(-value) if is_number(value) else UNDEFINED

    return evaluate


def _choice(condition: Evaluate, yes: Evaluate, no: Evaluate) -> Evaluate:
    """``condition ? yes : no``: what is not true counts as false."""
    return lambda values: yes(values) if condition(values) is True else no(values)


def _object(members: Sequence[tuple[str, Evaluate]]) -> Evaluate:
    def evaluate(values: Values) -> dict[str, Any]:
        pairs = [(name, member(values)) for name, member in members]
        return {name: value for name, value in pairs if value is not UNDEFINED}

    return evaluate


def _array(elements: Sequence[Evaluate]) -> Evaluate:
    def evaluate(values: Values) -> list[Any]:
        return [value for element in elements if (value := element(values)) is not UNDEFINED]

    return evaluate


def _subquery(results: Callable[[Values], list[Any]], use: str) -> Evaluate:
    if use == "EXISTS":
        return lambda values: bool(results(values))
    if use == "ARRAY":
        return results

    def only(values: Values) -> Any:
        found = results(values)
        if len(found) > 1:
            raise bad_request(
                f"A subquery for one value has {len(found)} results, the first {encode(found[0])[:40]!r}."
            )
        return found[0] if found else UNDEFINED

    return only
