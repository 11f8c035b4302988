"""Transactional batches: up to 100 operations on one partition key, all or nothing.

"Transactional batch operations in Azure Cosmos DB": when one operation fails, the answer is 207 with that operation's
own status, 424 for all others, and nothing is stored.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from cloudscale.emulators.cosmos.decoding import decode_json
from cloudscale.emulators.cosmos.documents import Documents
from cloudscale.emulators.cosmos.errors import CosmosError, bad_request
from cloudscale.emulators.cosmos.partition_key import Component
from cloudscale.emulators.cosmos.patching import patch_item
from cloudscale.emulators.cosmos.resources import Item, render
from cloudscale.emulators.cosmos.throughput import read_charge, write_charge

MAXIMUM_OPERATIONS: Final = 100
MAXIMUM_BATCH_BYTES: Final = 2 * 1024 * 1024
FAILED_DEPENDENCY: Final = 424


class BatchOperation(msgspec.Struct, rename="camel"):
    """One operation as it comes over the wire; the document stays text."""

    operation_type: str
    id: str | None = None
    resource_body: msgspec.Raw = msgspec.Raw(b"")
    if_match: str | None = None
    if_none_match: str | None = None
    partition_key: str | None = None


class _Named(msgspec.Struct):
    """What a document is called."""

    id: str


_decoder: Final = msgspec.json.Decoder(list[BatchOperation])
_name_decoder: Final = msgspec.json.Decoder(_Named)


class BatchFailedError(Exception):
    """Rolls the batch back. ``answer`` is the 207's body."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        super().__init__()


def parse_batch(body: bytes) -> list[BatchOperation]:
    """Read the operations; raises CosmosError 400 or 413 when there are none or too many."""
    if len(body) > MAXIMUM_BATCH_BYTES:
        raise CosmosError(413, f"A batch has at most {MAXIMUM_BATCH_BYTES} bytes.")
    operations = decode_json(_decoder, body, "The batch")
    if not operations:
        raise bad_request("Batch request has no operations.")
    if len(operations) > MAXIMUM_OPERATIONS:
        raise bad_request(
            f"Batch request has more operations than what is supported. It has {len(operations)}: send "
            f"{MAXIMUM_OPERATIONS} at most."
        )
    return operations


def run_batch(
    documents: Documents, operations: list[BatchOperation], partition_key: Sequence[Component], *, minimal: bool
) -> tuple[bytes, float]:
    """Run the operations inside a write; returns the 200's body and the charge, or raises BatchFailedError."""
    results: list[bytes] = []
    total = 0.0
    documents.look_ahead(partition_key, _ids(operations))
    with documents.transaction():
        for position, operation in enumerate(operations):
            try:
                result, charge = run_operation(documents, operation, partition_key, minimal=minimal)
            except CosmosError as error:
                raise BatchFailedError(_failure(len(operations), position, error)) from error
            total += charge
            results.append(result)
    return b"[" + b",".join(results) + b"]", round(total, 2)


def _ids(operations: Sequence[BatchOperation]) -> Iterator[str]:
    """The ids that the operations name, as far as they can be read: what is wrong with the others comes out later."""
    for operation in operations:
        if operation.id is not None:
            yield operation.id
            continue
        with suppress(msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            yield _name_decoder.decode(operation.resource_body).id


def run_operation(
    documents: Documents, operation: BatchOperation, partition_key: Sequence[Component], *, minimal: bool
) -> tuple[bytes, float]:
    """Run one operation inside a write; returns its result as JSON text and its charge."""
    status, item, charge = _run(documents, operation, partition_key)
    result = f'{{"statusCode":{status},"requestCharge":{charge}'
    if item is None:
        return (result + "}").encode(), charge
    result += f',"eTag":"\\"{item.etag[1:-1]}\\""'
    if minimal and operation.operation_type != "Read":
        return (result + "}").encode(), charge
    return result.encode() + b',"resourceBody":' + render(documents.container, item) + b"}", charge


def _run(
    documents: Documents, operation: BatchOperation, partition_key: Sequence[Component]
) -> tuple[int, Item | None, float]:
    kind = operation.operation_type.lower()
    if kind == "create":
        item = documents.create(bytes(operation.resource_body), partition_key)
        return 201, item, write_charge(len(item.body))
    if kind == "upsert":
        item, created = documents.upsert(bytes(operation.resource_body), partition_key, if_match=operation.if_match)
        return 201 if created else 200, item, write_charge(len(item.body))
    if operation.id is None:
        raise bad_request(f"The batch operation '{operation.operation_type}' needs an id.")
    if kind == "replace":
        item = documents.replace(
            operation.id, bytes(operation.resource_body), partition_key, if_match=operation.if_match
        )
        return 200, item, write_charge(len(item.body))
    if kind == "patch":
        item = patch_item(documents, operation.id, partition_key, operation.resource_body, if_match=operation.if_match)
        return 200, item, write_charge(len(item.body))
    if kind == "delete":
        documents.delete(operation.id, partition_key, if_match=operation.if_match)
        return 204, None, write_charge(0)
    if kind == "read":
        item = documents.find(partition_key, operation.id)
        if operation.if_none_match == item.etag:
            return 304, None, read_charge(0)
        return 200, item, read_charge(len(item.body))
    raise bad_request(f"'{operation.operation_type}' is no batch operation.")


def _failure(count: int, position: int, error: CosmosError) -> bytes:
    other = {"statusCode": FAILED_DEPENDENCY, "requestCharge": 0}
    return msgspec.json.encode([describe(error) if index == position else other for index in range(count)])


def describe(error: CosmosError) -> dict[str, str | int]:
    """The result of an operation that failed."""
    return {
        "statusCode": error.status,
        "subStatusCode": error.substatus,
        "requestCharge": 0,
        "message": error.message,
    }
