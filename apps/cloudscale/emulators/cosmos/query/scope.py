"""Where expressions take their values from: the document, its system properties and joined arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from cloudscale.emulators.cosmos.errors import bad_request
from cloudscale.emulators.cosmos.query.ast import Expression, Name, Property
from cloudscale.emulators.cosmos.query.fragments import UNDEFINED, Fragment, Kind, any_json, number, text
from cloudscale.emulators.cosmos.resources import Container


def _double(value: int) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise bad_request("A number is beyond the range of a double.") from error


@dataclass(slots=True)
class Bindings:
    """Values bound to the statement: nothing a user writes ever becomes SQL text."""

    values: dict[str, object] = field(default_factory=dict)

    def bind(self, value: object) -> str:
        """The placeholder for ``value``."""
        if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
            value = _double(value)
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f":{name}"


@dataclass(frozen=True, slots=True)
class Root:
    """A JSON text in a column, addressed by paths. ``system`` are properties that are not in the text."""

    body: str
    whole: str
    system: Mapping[str, Fragment]


def document_root(bindings: Bindings, container: Container) -> Root:
    """The stored document: its system properties are columns."""
    prefix = bindings.bind(container.rid_bytes)
    link = bindings.bind(container.self_link)
    rid = f"cosmos_rid({prefix}, d.number)"
    etag = "('\"' || printf('%08x', d.lsn) || '-0000-0000-0000-' || printf('%012x', d.ts) || '\"')"
    return Root(
        "d.body",
        f"cosmos_document({prefix}, {link}, d.body, d.number, d.lsn, d.ts)",
        {
            "id": text("d.id"),
            "_ts": number("d.ts"),
            "_etag": text(etag),
            "_rid": text(rid),
            "_self": text(f"({link} || 'docs/' || {rid} || '/')"),
            "_attachments": text("'attachments/'"),
        },
    )


def plain_root() -> Root:
    """A JSON text that holds everything."""
    return Root("d.body", "d.body", {})


def element_root(table: str) -> Root:
    """An element of a joined array, a row of ``json_each``."""
    structured = f"(CASE WHEN {table}.type IN ('array', 'object') THEN {table}.value END)"
    return Root(structured, f"cosmos_element({table}.type, {table}.value)", {})


class Scope:
    """Resolves names and properties."""

    def __init__(self, bindings: Bindings, roots: dict[str, Root], tables: dict[str, str]) -> None:
        self._bindings = bindings
        self._roots = roots
        self._tables = tables

    def name(self, name: Name) -> Fragment:
        """An alias on its own."""
        root = self._root(name)
        table = self._tables.get(name.name)
        if table is not None:
            return Fragment(Kind.ANY, f"{table}.value", f"{table}.type", root.whole)
        return any_json(root.whole)

    def property_of(self, expression: Property) -> Fragment | None:
        """A property reached from an alias by a path; None when the target is computed."""
        keys: list[str | int] = []
        target: Expression = expression
        while isinstance(target, Property):
            keys.append(target.key)
            target = target.target
        if not isinstance(target, Name):
            return None
        keys.reverse()
        root = self._root(target)
        system = root.system.get(str(keys[0]))
        if system is not None:
            return system if len(keys) == 1 else UNDEFINED
        return path_fragment(self._bindings, root.body, keys)

    def _root(self, name: Name) -> Root:
        root = self._roots.get(name.name)
        if root is None:
            raise bad_request(f"Identifier '{name.name}' at position {name.position} could not be resolved.")
        return root


def path_fragment(bindings: Bindings, body: str, keys: list[str | int]) -> Fragment:
    """The value at a path of a JSON text."""
    path = bindings.bind("$" + "".join(_step(key) for key in keys))
    return Fragment(Kind.ANY, f"json_extract({body}, {path})", f"json_type({body}, {path})", f"({body} -> {path})")


def _step(key: str | int) -> str:
    if isinstance(key, int):
        # SQLite reads an index modulo 2^32.
        return f"[{min(key, 2**31)}]"
    # As it is written in the stored text.
    name = msgspec.json.encode(key).decode()
    if '"' in key:
        raise bad_request(f"A property name with a quote cannot be queried: {name}.")
    return f".{name}"
