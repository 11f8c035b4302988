"""Partial document updates: an ordered list of operations, each addressed by a JSON pointer (RFC 6901).

"Partial document update in Azure Cosmos DB": ``add``, ``set``, ``replace``, ``remove``, ``incr`` and ``move``, at
most ten; either a bare array of operations or an object with ``operations`` and a ``condition``.
"""

import math
from typing import Any, Final

import msgspec

from cloudscale.emulators.cosmos.decoding import decode_json
from cloudscale.emulators.cosmos.errors import bad_request

MAXIMUM_OPERATIONS: Final = 10


class PatchOperation(msgspec.Struct, rename="camel"):
    """One operation as it comes over the wire."""

    op: str
    path: str
    value: Any = msgspec.UNSET
    from_path: str | None = msgspec.field(default=None, name="from")


class Patch(msgspec.Struct):
    """A patch: ``condition`` is the text ``FROM c WHERE …``."""

    operations: list[PatchOperation]
    condition: str | None = None


_operations_decoder: Final = msgspec.json.Decoder(list[PatchOperation])
_patch_decoder: Final = msgspec.json.Decoder(Patch)


def parse_patch(body: bytes | msgspec.Raw) -> Patch:
    """Read either form; raises CosmosError 400."""
    if bytes(body).lstrip().startswith(b"["):
        patch = Patch(decode_json(_operations_decoder, body, "The patch"))
    else:
        patch = decode_json(_patch_decoder, body, "The patch")
    if not 0 < len(patch.operations) <= MAXIMUM_OPERATIONS:
        raise bad_request(f"A patch has 1 to {MAXIMUM_OPERATIONS} operations, not {len(patch.operations)}.")
    return patch


def apply_patch(document: dict[str, Any], operations: list[PatchOperation]) -> None:
    """Apply every operation to ``document``, in order; raises CosmosError 400 at the first that cannot be."""
    for operation in operations:
        _apply(document, operation)


def _apply(document: dict[str, Any], operation: PatchOperation) -> None:
    kind = operation.op.lower()
    if kind == "move":
        if operation.from_path is None:
            raise bad_request("A move operation needs 'from'.")
        if (operation.path + "/").startswith(operation.from_path + "/"):
            raise bad_request(f"'{operation.from_path}' cannot be moved to or into itself.")
        _add(document, operation.path, _remove(document, operation.from_path))
    elif kind == "remove":
        _remove(document, operation.path)
    elif operation.value is msgspec.UNSET:
        raise bad_request(f"The operation '{operation.op}' at '{operation.path}' needs a value.")
    elif kind == "add":
        _add(document, operation.path, operation.value)
    elif kind in ("set", "replace"):
        _set(document, operation.path, operation.value, must_exist=kind == "replace")
    elif kind in ("incr", "increment"):
        _increment(document, operation.path, operation.value)
    else:
        raise bad_request(f"'{operation.op}' is no patch operation: add, set, replace, remove, incr or move.")


def _segments(path: str) -> list[str]:
    if not path.startswith("/") or path == "/":
        raise bad_request(f"'{path}' is no path: it must start with '/' and name a property.")
    return [segment.replace("~1", "/").replace("~0", "~") for segment in path[1:].split("/")]


def _parent(document: dict[str, Any], path: str) -> tuple[dict[str, Any] | list[Any], str]:
    *parents, last = _segments(path)
    target: Any = document
    for name in parents:
        if isinstance(target, dict) and name in target:
            target = target[name]
        elif isinstance(target, list):
            target = target[_index(target, name, path, end=len(target) - 1)]
        else:
            raise _missing(path)
    if not isinstance(target, dict | list):
        raise _missing(path)
    return target, last


def _index(array: list[Any], text: str, path: str, *, end: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > end:
        raise bad_request(f"'{path}' is outside of an array with {len(array)} elements.")
    return int(text)


def _missing(path: str) -> Exception:
    return bad_request(f"The path '{path}' does not exist in the document.")


def _add(document: dict[str, Any], path: str, value: Any) -> None:
    target, last = _parent(document, path)
    if isinstance(target, dict):
        target[last] = value
    elif last == "-":
        target.append(value)
    else:
        target.insert(_index(target, last, path, end=len(target)), value)


def _set(document: dict[str, Any], path: str, value: Any, *, must_exist: bool) -> None:
    target, last = _parent(document, path)
    if isinstance(target, dict):
        if must_exist and last not in target:
            raise _missing(path)
        target[last] = value
    elif last == "-" and not must_exist:
        target.append(value)
    else:
        target[_index(target, last, path, end=len(target) - 1)] = value


def _remove(document: dict[str, Any], path: str) -> Any:
    target, last = _parent(document, path)
    if isinstance(target, dict):
        if last not in target:
            raise _missing(path)
        return target.pop(last)
    return target.pop(_index(target, last, path, end=len(target) - 1))


def _increment(document: dict[str, Any], path: str, amount: Any) -> None:
    target, last = _parent(document, path)
    if isinstance(target, dict):
        current = target.get(last, 0)
    else:
        current = target[_index(target, last, path, end=len(target) - 1)]
    if not _is_number(current) or not _is_number(amount):
        raise bad_request(f"'{path}' cannot be incremented: both the value and the amount must be numbers.")
    try:
        total = current + amount
    except OverflowError:
        total = math.inf
    if not isinstance(total, int) and math.isinf(total):
        raise bad_request(f"'{path}' cannot be incremented: the sum is beyond the range of a double.")
    if isinstance(target, dict):
        target[last] = total
    else:
        target[int(last)] = total


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
