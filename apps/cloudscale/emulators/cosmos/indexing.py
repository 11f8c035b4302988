"""Indexing policies: what a container may say of its indexes, and which ORDER BY they allow.

"Indexing policies in Azure Cosmos DB": a path must be indexed to be ordered by, and several together must be a
composite index, in its order or the inverse one. A policy makes nothing faster here (see ``ordered_members`` for what
does), but what the service refuses is refused here too.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cloudscale.emulators.cosmos.errors import bad_request
from cloudscale.emulators.cosmos.property_path import segments
from cloudscale.emulators.cosmos.query.ast import Expression, Name, Ordering, Parameter, Property, Query

_ETAG_PATH: Final = '/"_etag"/?'
# Indexed in every container.
_ALWAYS_INDEXED: Final = (("id",), ("_ts",))


class _Path(msgspec.Struct):
    path: str


class _Composite(msgspec.Struct):
    path: str
    order: str = "ascending"


class _Policy(msgspec.Struct, rename="camel"):
    indexing_mode: str = "consistent"
    automatic: bool = True
    included_paths: list[_Path] = []
    excluded_paths: list[_Path] = []
    composite_indexes: list[list[_Composite]] = []


@dataclass(frozen=True, slots=True)
class IndexingPolicy:
    """What is indexed: included and excluded paths, each with whether it covers all below it."""

    is_on: bool
    included: tuple[tuple[tuple[str, ...], bool], ...]
    excluded: tuple[tuple[tuple[str, ...], bool], ...]
    composites: tuple[tuple[tuple[tuple[str, ...], bool], ...], ...]

    def covers(self, path: tuple[str, ...]) -> bool:
        """Whether a path is indexed: the longest of the policy's paths decides."""
        if path in _ALWAYS_INDEXED:
            return True
        return self.is_on and _reach(self.included, path) > _reach(self.excluded, path)

    def check(self, query: Query, *, may_scan: bool) -> None:
        """Raise CosmosError 400 unless the service could filter and order the results of a query."""
        if not self.is_on and query.where is not None and not may_scan:
            raise bad_request(
                "The container's indexing mode is none: a query with a condition needs the header "
                "x-ms-documentdb-query-enable-scan."
            )
        self._check_order(query)

    def _check_order(self, query: Query) -> None:
        if not query.order_by or query.group_by:
            return
        paths = [_ordered_path(query, ordering) for ordering in query.order_by]
        if len(paths) == 1:
            if not self.covers(paths[0]):
                raise bad_request(
                    f"The order-by item '{'.'.join(paths[0])}' has no index: the query needs one to sort. "
                    "Add the path to the container's indexing policy."
                )
            return
        wanted = tuple((path, each.descending) for path, each in zip(paths, query.order_by, strict=True))
        inverse = tuple((path, not descending) for path, descending in wanted)
        if wanted not in self.composites and inverse not in self.composites:
            raise bad_request(
                "The order by query does not have a corresponding composite index that it can be served from: add "
                f"{', '.join('/' + '/'.join(path) for path in paths)} to the compositeIndexes of the indexing policy."
            )


def _ordered_path(query: Query, ordering: Ordering) -> tuple[str, ...]:
    names: list[str] = []
    expression: Expression = ordering.expression
    while isinstance(expression, Property):
        if isinstance(expression.key, Parameter):
            break
        names.append(str(expression.key))
        expression = expression.target
    if not names or not isinstance(expression, Name) or expression.name != query.container:
        raise bad_request("Unsupported ORDER BY clause: an ORDER BY item must be a path of the document.")
    return tuple(reversed(names))


def _reach(paths: tuple[tuple[tuple[str, ...], bool], ...], path: tuple[str, ...]) -> int:
    """How much of a path the longest of the paths covers, in half segments; -1 for nothing."""
    longest = -1
    for covered, is_open in paths:
        if is_open and path[: len(covered)] == covered:
            longest = max(longest, 2 * len(covered))
        elif covered == path:
            longest = max(longest, 2 * len(covered) + 1)
    return longest


def complete(policy: Any) -> dict[str, Any]:
    """An indexing policy with what the service adds to it; raises CosmosError 400 for one that makes no sense."""
    if policy is None:
        policy = {}
    if not isinstance(policy, dict):
        raise bad_request("indexingPolicy must be an object.")
    for name in ("vectorIndexes", "fullTextIndexes"):
        if policy.get(name):
            raise bad_request(f"indexingPolicy.{name} is not supported by this emulator.")
    known = _read(policy)
    mode = known.indexing_mode.lower()
    if mode not in ("consistent", "none"):
        raise bad_request(f"The indexing mode '{known.indexing_mode[:40]}' is not one of consistent and none.")
    if mode == "none":
        if known.automatic and policy.get("automatic"):
            raise bad_request("The indexing mode 'none' needs automatic to be false.")
        return {**policy, "indexingMode": mode, "automatic": False, "includedPaths": [], "excludedPaths": []}
    included = [_plain_path(each) for each in policy.get("includedPaths") or []]
    excluded = policy.get("excludedPaths") or []
    if not included and not any(each.path == "/*" for each in known.excluded_paths):
        included = [{"path": "/*"}]
    if not any(each.get("path") == _ETAG_PATH for each in excluded):
        excluded = [*excluded, {"path": _ETAG_PATH}]
    return {
        **policy,
        "indexingMode": mode,
        "automatic": known.automatic,
        "includedPaths": included,
        "excludedPaths": excluded,
    }


def _plain_path(path: dict[str, Any]) -> dict[str, Any]:
    """An included path without the kinds of index that older clients name, and the root as newer ones write it."""
    plain = {name: value for name, value in path.items() if name != "indexes"}
    return {**plain, "path": "/*"} if path["path"] == "/" else plain


def _read(policy: dict[str, Any]) -> _Policy:
    try:
        known = msgspec.convert(policy, _Policy)
    except msgspec.ValidationError as error:
        raise bad_request(f"indexingPolicy makes no sense: {error}.") from error
    for each in [*known.included_paths, *known.excluded_paths]:
        if each.path != "/" and not (each.path.startswith("/") and each.path.endswith(("/*", "/?"))):
            raise bad_request(
                f"The path '{each.path[:100]}' of indexingPolicy must start with '/' and end in /? or /*."
            )
    for composite in known.composite_indexes:
        if len(composite) < 2 or any(each.order not in ("ascending", "descending") for each in composite):
            raise bad_request("A composite index has two or more paths, each ascending or descending.")
    return known


def indexing_policy(policy: dict[str, Any]) -> IndexingPolicy:
    """What a completed policy indexes."""
    known = _read(policy)
    return IndexingPolicy(
        known.indexing_mode == "consistent",
        tuple(_covered(each.path) for each in known.included_paths),
        tuple(_covered(each.path) for each in known.excluded_paths),
        tuple(
            tuple((segments(each.path), each.order == "descending") for each in composite)
            for composite in known.composite_indexes
        ),
    )


def _covered(path: str) -> tuple[tuple[str, ...], bool]:
    # The root alone, as older clients write it, is all below it.
    return segments(path.removesuffix("/*").removesuffix("/?")), path == "/" or path.endswith("/*")
