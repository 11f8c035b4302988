"""Bulk requests: up to 100 operations that have nothing to do with each other, each with its own partition key.

The wire format of a transactional batch without ``x-ms-cosmos-batch-atomic``, as the JavaScript and .NET SDKs use it.
"""

import asyncio

import msgspec

from cloudscale.emulators.cosmos.batch import BatchOperation, describe, parse_batch, run_operation
from cloudscale.emulators.cosmos.documents import Documents
from cloudscale.emulators.cosmos.emulator import Emulator, answer
from cloudscale.emulators.cosmos.errors import CosmosError, bad_request
from cloudscale.emulators.cosmos.items import check_budget, spend, wants_no_content
from cloudscale.emulators.cosmos.protocol import Request, Response
from cloudscale.emulators.cosmos.throughput import write_charge


async def run_bulk(emulator: Emulator, documents: Documents, request: Request) -> Response:
    """POST docs with the batch header, not atomic: 200 when every operation succeeded, else 207."""
    check_budget(emulator, documents)
    minimal = wants_no_content(request)
    # All are handed over in one turn of the loop, so they share a transaction and yet fail alone.
    results = await asyncio.gather(
        *[_run(emulator, documents, operation, minimal=minimal) for operation in parse_batch(request.body)]
    )
    charge = spend(emulator, documents, "batch", sum(charge for _, charge, _ in results))
    body = b"[" + b",".join(result for result, _, _ in results) + b"]"
    status = 200 if all(succeeded for _, _, succeeded in results) else 207
    return answer(body, status=status, charge=charge, documents=documents)


async def _run(
    emulator: Emulator, documents: Documents, operation: BatchOperation, *, minimal: bool
) -> tuple[bytes, float, bool]:
    try:
        if operation.partition_key is None:
            raise bad_request("A bulk operation needs its partition key.")
        key = documents.container.partition_key.of_header(operation.partition_key)
        result, charge = await emulator.storage.write(lambda: run_operation(documents, operation, key, minimal=minimal))
    except CosmosError as error:
        return msgspec.json.encode(describe(error)), write_charge(0), False
    return result, charge, True
