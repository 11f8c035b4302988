"""Requests for single items and transactional batches."""

from typing import Final

from cloudscale.emulators.cosmos.batch import BatchFailedError, parse_batch, run_batch
from cloudscale.emulators.cosmos.document_head import refuse_numbers_beyond_doubles
from cloudscale.emulators.cosmos.documents import Documents
from cloudscale.emulators.cosmos.emulator import Emulator, answer, is_true, required_partition_key
from cloudscale.emulators.cosmos.errors import bad_request
from cloudscale.emulators.cosmos.partition_key import Component
from cloudscale.emulators.cosmos.patching import patch_item
from cloudscale.emulators.cosmos.protocol import Request, Response
from cloudscale.emulators.cosmos.resources import Item, render
from cloudscale.emulators.cosmos.throughput import read_charge, write_charge

# Documents of a partition that are removed in one write.
DELETED_IN_A_WRITE: Final = 200
_TRIGGERS: Final = ("x-ms-documentdb-pre-trigger-include", "x-ms-documentdb-post-trigger-include")


async def create_item(emulator: Emulator, documents: Documents, request: Request) -> Response:
    """POST docs: create, or upsert when the header says so."""
    key = _key_to_write(request, documents)
    check_budget(emulator, documents)
    refuse_numbers_beyond_doubles(request.body)
    if is_true(request, "x-ms-documentdb-is-upsert"):
        if_match = request.headers.get("if-match")
        item, created = await emulator.storage.write(lambda: documents.upsert(request.body, key, if_match=if_match))
        return _written(emulator, documents, request, item, status=201 if created else 200)
    item = await emulator.storage.write(lambda: documents.create(request.body, key))
    return _written(emulator, documents, request, item, status=201)


async def read_item(emulator: Emulator, documents: Documents, request: Request, name: str) -> Response:
    """GET docs/name: 304 when the client's ETag is still the current one."""
    key = required_partition_key(request, documents)
    check_budget(emulator, documents)
    item = documents.find(key, name)
    if request.headers.get("if-none-match", "").strip('"') == item.etag.strip('"'):
        charge = spend(emulator, documents, "read", 1.0)
        return answer(b"", status=304, charge=charge, documents=documents, headers={"etag": item.etag})
    charge = spend(emulator, documents, "read", read_charge(len(item.body)))
    return answer(render(documents.container, item), charge=charge, documents=documents, headers={"etag": item.etag})


async def replace_item(emulator: Emulator, documents: Documents, request: Request, name: str) -> Response:
    """PUT docs/name."""
    key = _key_to_write(request, documents)
    check_budget(emulator, documents)
    if_match = request.headers.get("if-match")
    refuse_numbers_beyond_doubles(request.body)
    item = await emulator.storage.write(lambda: documents.replace(name, request.body, key, if_match=if_match))
    return _written(emulator, documents, request, item, status=200)


async def update_item(emulator: Emulator, documents: Documents, request: Request, name: str) -> Response:
    """PATCH docs/name."""
    key = _key_to_write(request, documents)
    check_budget(emulator, documents)
    if_match = request.headers.get("if-match")
    item = await emulator.storage.write(lambda: patch_item(documents, name, key, request.body, if_match=if_match))
    return _written(emulator, documents, request, item, status=200)


async def delete_item(emulator: Emulator, documents: Documents, request: Request, name: str) -> Response:
    """DELETE docs/name."""
    key = _key_to_write(request, documents)
    check_budget(emulator, documents)
    if_match = request.headers.get("if-match")
    await emulator.storage.write(lambda: documents.delete(name, key, if_match=if_match))
    return answer(b"", status=204, charge=spend(emulator, documents, "write", write_charge(0)), documents=documents)


async def delete_partition(emulator: Emulator, documents: Documents, request: Request) -> Response:
    """POST operations/partitionkeydelete: all items of a partition, a few in each write so that others do not wait."""
    key = required_partition_key(request, documents)
    check_budget(emulator, documents)
    while await emulator.storage.write(lambda: documents.delete_partition(key, DELETED_IN_A_WRITE)):
        spend(emulator, documents, "write", write_charge(0))
    return answer(b"", charge=write_charge(0), documents=documents)


async def run_transaction(emulator: Emulator, documents: Documents, request: Request) -> Response:
    """POST docs with the batch header."""
    key = required_partition_key(request, documents)
    check_budget(emulator, documents)
    operations = parse_batch(request.body)
    minimal = wants_no_content(request)
    try:
        body, charge = await emulator.storage.write(lambda: run_batch(documents, operations, key, minimal=minimal))
    except BatchFailedError as error:
        charge = spend(emulator, documents, "batch", write_charge(0))
        return answer(error.answer, status=207, charge=charge, documents=documents)
    return answer(body, charge=spend(emulator, documents, "batch", charge), documents=documents)


def wants_no_content(request: Request) -> bool:
    """Whether the client has asked for answers without documents."""
    return "return=minimal" in request.headers.get("prefer", "").replace(" ", "")


def check_budget(emulator: Emulator, documents: Documents) -> None:
    """Raise ThrottledRequestError when the container has spent its throughput."""
    budget = emulator.budget(documents)
    if budget is not None:
        budget.check()


def spend(emulator: Emulator, documents: Documents, operation: str, charge: float) -> float:
    """Account for a request's charge and hand it back."""
    emulator.metrics.charge(operation, charge)
    budget = emulator.budget(documents)
    if budget is not None:
        budget.spend(charge)
    return charge


def _key_to_write(request: Request, documents: Documents) -> tuple[Component, ...]:
    """The partition key of a write; raises CosmosError 400 without one, and for a trigger that is to run with it."""
    for header in _TRIGGERS:
        if request.headers.get(header):
            raise bad_request(
                f"There is no trigger '{request.headers[header][:100]}': triggers are not supported by this emulator."
            )
    return required_partition_key(request, documents)


def _written(emulator: Emulator, documents: Documents, request: Request, item: Item, *, status: int) -> Response:
    body = b"" if wants_no_content(request) else render(documents.container, item)
    charge = spend(emulator, documents, "write", write_charge(len(item.body)))
    return answer(body, status=status, charge=charge, documents=documents, headers={"etag": item.etag})
