"""What a query says, as a tree."""

from dataclasses import dataclass
from typing import Final


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
    """``target.key``, ``target["key"]``, ``target[0]`` or ``target[@key]``."""

    target: "Expression"
    key: str | int | Parameter


@dataclass(frozen=True, slots=True)
class Negation:
    """``NOT operand``."""

    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Minus:
    """``-operand``."""

    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Complement:
    """``~operand``."""

    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Logical:
    """``AND`` or ``OR`` of two or more operands, flat, so that a thousand of them are no deep tree."""

    operator: str
    operands: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Binary:
    """Comparison, arithmetic, a bitwise operator, ``||`` or ``??``."""

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


@dataclass(frozen=True, slots=True)
class Subquery:
    """``(SELECT …)``: the only result, or undefined; with ``EXISTS`` or ``ARRAY`` before it, that of all results."""

    query: "Query"
    use: str = ""


Expression = (
    Literal
    | Parameter
    | Name
    | Property
    | Negation
    | Minus
    | Complement
    | Logical
    | Binary
    | Membership
    | Like
    | Conditional
    | Call
    | ObjectLiteral
    | ArrayLiteral
    | Subquery
)


class Undefined:
    """The constant ``undefined``."""


UNDEFINED: Final = Undefined()


@dataclass(frozen=True, slots=True)
class Join:
    """A source of rows: ``each`` element of an array or result of a subquery, or else the one value of a path.

    ``alias`` is empty where the query gives it no name.
    """

    alias: str
    source: Expression
    each: bool = True


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
    """A whole query. ``items`` is empty for ``SELECT *``; ``value`` is the expression of ``SELECT VALUE``.

    ``container`` is the name under which the query knows the document, empty without FROM; ``joins`` are its other
    sources. ``selects_document`` tells ``FROM c`` from ``FROM t IN c.tags``, where c can be used but is not selected.
    """

    container: str = ""
    selects_document: bool = False
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
