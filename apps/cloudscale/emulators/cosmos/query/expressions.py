"""Expressions of Cosmos SQL to SQLite SQL."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from cloudscale.emulators.cosmos.errors import bad_request
from cloudscale.emulators.cosmos.query import aggregates, fragments, functions, patterns
from cloudscale.emulators.cosmos.query.ast import (
    UNDEFINED,
    ArrayLiteral,
    Binary,
    Call,
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
)
from cloudscale.emulators.cosmos.query.fragments import NOT_CONSTANT, Fragment, Kind, as_boolean, as_json, as_number
from cloudscale.emulators.cosmos.query.scope import Bindings, Scope, path_fragment

MAXIMUM_SQL_CHARACTERS: Final = 900_000


class ExpressionCompiler:
    """Compiles the expressions of one query; ``parameters`` are the values of ``@name``."""

    def __init__(self, bindings: Bindings, scope: Scope, parameters: Mapping[str, Any]) -> None:
        self.bindings = bindings
        self._scope = scope
        self._parameters = parameters

    def compile(self, expression: Expression) -> Fragment:  # noqa: C901, PLR0912 - one case for each kind of node
        """The SQL for an expression; raises CosmosError 400 for what is not supported."""
        fragment: Fragment
        match expression:
            case Literal(value):
                fragment = self.constant(value)
            case Parameter(name, position):
                fragment = self.constant(self._parameter(name, position))
            case Name():
                fragment = self._scope.name(expression)
            case Property(target, key):
                fragment = self._scope.property_of(expression) or self._computed_property(target, key)
            case Negation(operand):
                fragment = fragments.boolean(f"(NOT {as_boolean(self.compile(operand))})")
            case Minus(operand):
                fragment = fragments.number(f"(- {as_number(self.compile(operand))})")
            case Logical(operator, operands):
                fragment = fragments.boolean(
                    _balanced(operator, [as_boolean(self.compile(operand)) for operand in operands])
                )
            case Binary():
                fragment = self._binary(expression)
            case Membership(operand, choices):
                fragment = self._membership(self.compile(operand), [self.compile(choice) for choice in choices])
            case Like():
                fragment = self._like(expression)
            case Conditional(condition, yes, no):
                fragment = functions.choose(self.compile(condition), self.compile(yes), self.compile(no))
            case Call(name, arguments, position):
                fragment = self._call(name, [self.compile(argument) for argument in arguments], position)
            case ObjectLiteral(members):
                fragment = self.object_of([(name, self.compile(value)) for name, value in members])
            case ArrayLiteral(elements):
                fragment = self._array([self.compile(element) for element in elements])
        if len(fragment.scalar) + len(fragment.json) > MAXIMUM_SQL_CHARACTERS:
            raise bad_request("The query is too complex: its expressions are nested too deeply.")
        return fragment

    def constant(self, value: object) -> Fragment:
        """A value that the query itself brings."""
        if value is UNDEFINED:
            return fragments.UNDEFINED
        if value is None:
            return fragments.NULL
        if isinstance(value, bool):
            return fragments.boolean("1" if value else "0", value)
        if isinstance(value, int | float):
            return fragments.number(self.bindings.bind(value), value)
        if isinstance(value, str):
            return fragments.text(self.bindings.bind(value), value)
        return fragments.any_json(self.bindings.bind(msgspec.json.encode(value).decode()), value)

    def constant_of(self, expression: Expression) -> object:
        """The value of a literal or parameter, else NOT_CONSTANT."""
        match expression:
            case Literal(value):
                return value
            case Parameter(name, position):
                return self._parameter(name, position)
        return NOT_CONSTANT

    def _parameter(self, name: str, position: int) -> object:
        if name not in self._parameters:
            raise bad_request(f"The parameter '{name}' at position {position} has no value.")
        return self._parameters[name]

    def _computed_property(self, target: Expression, key: str | int) -> Fragment:
        fragment = self.compile(target)
        if fragment.kind is not Kind.ANY:
            return fragments.UNDEFINED
        return path_fragment(self.bindings, fragment.json, [key])

    def _binary(self, expression: Binary) -> Fragment:
        operator = expression.operator
        left, right = self.compile(expression.left), self.compile(expression.right)
        if operator == "=":
            return fragments.boolean(fragments.equal(left, right))
        if operator == "!=":
            return fragments.boolean(f"(NOT {fragments.equal(left, right)})")
        if operator in ("<", "<=", ">", ">="):
            return fragments.boolean(fragments.ordered(operator, left, right))
        if operator == "||":
            return fragments.text(f"({fragments.as_text(left)} || {fragments.as_text(right)})")
        if operator == "??":
            return functions.first_defined(left, right)
        return fragments.number(_arithmetic(operator, as_number(left), as_number(right)))

    def _membership(self, operand: Fragment, choices: list[Fragment]) -> Fragment:
        # Constants of one type become one IN, which SQLite searches instead of comparing a thousand times.
        parts: list[str] = []
        for kind, convert in ((Kind.TEXT, fragments.as_text), (Kind.NUMBER, as_number)):
            same = [choice for choice in choices if choice.kind is kind and choice.constant is not NOT_CONSTANT]
            if same:
                values = ", ".join(choice.scalar for choice in same)
                inside = f"{convert(operand)} IN ({values})"
                parts.append(f"(CASE WHEN {fragments.is_defined(operand)} THEN coalesce({inside}, 0) END)")
            choices = [choice for choice in choices if choice not in same]
        parts += [fragments.equal(operand, choice) for choice in choices]
        return fragments.boolean(_balanced("OR", parts))

    def _like(self, expression: Like) -> Fragment:
        pattern = self.compile(expression.pattern)
        if not isinstance(pattern.constant, str):
            raise bad_request(f"LIKE at position {expression.position} needs a constant string as its pattern.")
        glob = self.bindings.bind(patterns.like_to_glob(pattern.constant, expression.escape))
        return fragments.boolean(f"({fragments.as_text(self.compile(expression.operand))} GLOB {glob})")

    def _call(self, name: str, arguments: list[Fragment], position: int) -> Fragment:
        if name in aggregates.NAMES:
            return aggregates.compile_aggregate(name, arguments, position)
        return functions.compile_call(self.bindings, name, arguments, position)

    def object_of(self, members: list[tuple[str, Fragment]]) -> Fragment:
        """An object that has the members which are defined."""
        if not members:
            return fragments.any_json("'{}'")
        parts = []
        for name, value in members:
            key = self.bindings.bind("," + msgspec.json.encode(name).decode() + ":")
            parts.append(f"coalesce({key} || {as_json(value)}, '')")
        constant: object = NOT_CONSTANT
        if all(value.constant is not NOT_CONSTANT for _, value in members):
            constant = {name: value.constant for name, value in members}
        return fragments.any_json(f"('{{' || substr({_balanced('||', parts)}, 2) || '}}')", constant)

    def _array(self, elements: list[Fragment]) -> Fragment:
        if not elements:
            return fragments.any_json("'[]'")
        parts = [f"coalesce(',' || {as_json(element)}, '')" for element in elements]
        return fragments.any_json(f"('[' || substr({_balanced('||', parts)}, 2) || ']')")


def _balanced(operator: str, parts: list[str]) -> str:
    """Join many operands without nesting deeper than their number's logarithm: SQLite limits the depth to 1,000."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_balanced(operator, parts[:middle])} {operator} {_balanced(operator, parts[middle:])})"


def _arithmetic(operator: str, left: str, right: str) -> str:
    if operator == "/":
        return f"({left} * 1.0 / {right})"
    if operator == "%":
        return f"cosmos_modulo({left}, {right})"
    return f"({left} {operator} {right})"
