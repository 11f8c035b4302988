"""What a query says, as a tree."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: string, number, boolean, None for ``null``, or ``UNDEFINED``."""

    value: object


@dataclass(frozen=True, slots=True)
class Parameter:
    """``@name``."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Name:
    """An alias: the document or a joined array's element."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Property:
    """``target.key``, ``target["key"]`` or ``target[0]``."""

    target: "Expression"
    key: str | int


@dataclass(frozen=True, slots=True)
class Negation:
    """``NOT operand``."""

    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Minus:
    """``-operand``."""

    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Logical:
    """``AND`` or ``OR`` of two or more operands, flat, so that a thousand of them are no deep tree."""

    operator: str
    operands: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Binary:
    """Comparison, arithmetic, ``||`` or ``??``."""

    operator: str
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True)
class Membership:
    """``operand IN (choices)``."""

    operand: "Expression"
    choices: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Like:
    """``operand LIKE pattern [ESCAPE 'x']``."""

    operand: "Expression"
    pattern: "Expression"
    escape: str | None
    position: int


@dataclass(frozen=True, slots=True)
class Conditional:
    """``condition ? yes : no``."""

    condition: "Expression"
    yes: "Expression"
    no: "Expression"


@dataclass(frozen=True, slots=True)
class Call:
    """A function call; ``name`` is upper case."""

    name: str
    arguments: tuple["Expression", ...]
    position: int


@dataclass(frozen=True, slots=True)
class ObjectLiteral:
    """``{"a": expression}``."""

    members: tuple[tuple[str, "Expression"], ...]


@dataclass(frozen=True, slots=True)
class ArrayLiteral:
    """``[expression]``."""

    elements: tuple["Expression", ...]


Expression = (
    Literal
    | Parameter
    | Name
    | Property
    | Negation
    | Minus
    | Logical
    | Binary
    | Membership
    | Like
    | Conditional
    | Call
    | ObjectLiteral
    | ArrayLiteral
)


class Undefined:
    """The constant ``undefined``."""


UNDEFINED = Undefined()


@dataclass(frozen=True, slots=True)
class Join:
    """``alias IN source``: one row for each element of an array."""

    alias: str
    source: Expression


@dataclass(frozen=True, slots=True)
class SelectItem:
    """One member of the selected object."""

    name: str
    expression: Expression


@dataclass(frozen=True, slots=True)
class Ordering:
    """One criterion of ORDER BY."""

    expression: Expression
    descending: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query. ``items`` is empty for ``SELECT *``; ``value`` is the expression of ``SELECT VALUE``."""

    alias: str
    items: tuple[SelectItem, ...] = ()
    value: Expression | None = None
    distinct: bool = False
    top: Expression | None = None
    joins: tuple[Join, ...] = ()
    where: Expression | None = None
    group_by: tuple[Expression, ...] = ()
    order_by: tuple[Ordering, ...] = ()
    offset: Expression | None = None
    limit: Expression | None = None
