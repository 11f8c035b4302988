"""Builds the WHERE clauses of queries: the text holds names only, and every value is a parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Condition(NamedTuple):
    """One condition of a query with its one parameter; a condition whose value is None does not restrict."""

    text: str
    """As it stands in the query, such as ``c.tenantId = @tenant``."""
    name: str
    """Of the parameter, such as ``@tenant``."""
    value: object


def one_of(path: str, values: Sequence[str]) -> tuple[str, dict[str, object]]:
    """A condition that the index serves, ``path IN (@p0, @p1, …)``, and its parameters."""
    parameters: dict[str, object] = {f"@p{place}": value for place, value in enumerate(values)}
    return f"{path} IN ({', '.join(parameters)})", parameters


def all_of(conditions: Iterable[Condition]) -> tuple[str, dict[str, object]]:
    """The WHERE clause of those conditions that have a value (empty without any), and its parameters."""
    given = [condition for condition in conditions if condition.value is not None]
    parameters = {condition.name: condition.value for condition in given}
    return (f" WHERE {' AND '.join(condition.text for condition in given)}" if given else ""), parameters


def as_parameters(values: Mapping[str, object]) -> list[dict[str, object]]:
    """A query's parameters as the SDK takes them."""
    return [{"name": name, "value": value} for name, value in values.items()]
