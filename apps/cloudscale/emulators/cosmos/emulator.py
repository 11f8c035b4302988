"""What the request handlers share, and how answers of the service look."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from cloudscale.emulators.cosmos.account import Account
from cloudscale.emulators.cosmos.catalogue import Catalogue
from cloudscale.emulators.cosmos.decoding import decode_json
from cloudscale.emulators.cosmos.documents import Documents
from cloudscale.emulators.cosmos.errors import CONTAINER_RECREATED, bad_request
from cloudscale.emulators.cosmos.faults import Faults
from cloudscale.emulators.cosmos.metrics import Metrics
from cloudscale.emulators.cosmos.partition_key import Component, range_boundaries
from cloudscale.emulators.cosmos.protocol import Request, Response
from cloudscale.emulators.cosmos.storage import Storage
from cloudscale.emulators.cosmos.throughput import Budget, provisioned


class Emulator:
    """The account: its data and its settings."""

    def __init__(
        self,
        storage: Storage,
        catalogue: Catalogue,
        *,
        partition_ranges: int,
        enforce_throughput: bool,
        account: Account,
    ) -> None:
        self.storage = storage
        self.catalogue = catalogue
        self.boundaries = range_boundaries(partition_ranges)
        self.account = account
        self.faults = Faults()
        self.metrics = Metrics()
        self._enforce_throughput = enforce_throughput
        self._budgets: dict[int, Budget] = {}

    def budget(self, documents: Documents) -> Budget | None:
        """What the container may still spend; None when nothing limits it."""
        content = documents.container.throughput
        if not self._enforce_throughput or content is None:
            return None
        number, per_second = documents.container.number, provisioned(content)
        budget = self._budgets.get(number)
        if budget is None or budget.per_second != per_second:
            budget = self._budgets[number] = Budget(per_second)
        return budget

    def find_container(self, request: Request, database: str, name: str) -> Documents:
        """The container of a request; raises CosmosError 404, or 400 when the client means an earlier one."""
        documents = self.catalogue.container(database, name)
        intended = request.headers.get("x-ms-cosmos-intended-collection-rid")
        if intended and intended != documents.container.rid:
            raise bad_request(
                "Collection is not yet available for read or was created again: its resource id differs.",
                substatus=CONTAINER_RECREATED,
            )
        return documents


def partition_key_of(request: Request, documents: Documents) -> tuple[Component, ...] | None:
    """The partition key in the request's header."""
    header = request.headers.get("x-ms-documentdb-partitionkey")
    return None if header is None else documents.container.partition_key.of_header(header)


def required_partition_key(request: Request, documents: Documents) -> tuple[Component, ...]:
    """The same, for requests that need one; raises CosmosError 400."""
    key = partition_key_of(request, documents)
    if key is None:
        raise bad_request("PartitionKey value must be supplied for this operation.")
    return key


def answer(
    body: bytes,
    *,
    status: int = 200,
    charge: float = 1.0,
    documents: Documents | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An answer with the headers that the service always sends."""
    all_headers = {"x-ms-request-charge": f"{charge:g}", "x-ms-version": "2020-07-15"}
    if documents is not None:
        all_headers["lsn"] = str(documents.lsn)
    if headers:
        all_headers |= headers
    return Response(status, body, all_headers)


def feed(
    name: str,
    rid: str,
    members: Sequence[bytes],
    *,
    charge: float = 1.0,
    documents: Documents | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An answer that lists resources under ``name``, each already JSON text."""
    body = b'{"_rid":"%b","%b":[%b],"_count":%d}' % (rid.encode(), name.encode(), b",".join(members), len(members))
    extended = {"x-ms-item-count": str(len(members)), **(headers or {})}
    return answer(body, charge=charge, documents=documents, headers=extended)


def encode(value: Any) -> bytes:
    """JSON text."""
    return msgspec.json.encode(value)


_object_decoder: Final = msgspec.json.Decoder(dict[str, Any])


def decode_object(body: bytes) -> dict[str, Any]:
    """A JSON object from a request's body; raises CosmosError 400."""
    return decode_json(_object_decoder, body, "The request body, which must be a JSON object,")


def is_true(request: Request, header: str) -> bool:
    """Whether a header says true, however it is spelled."""
    return request.headers.get(header, "").lower() == "true"


def is_query(request: Request) -> bool:
    """Whether a POST asks for documents instead of bringing one."""
    return is_true(request, "x-ms-documentdb-isquery") or "application/query+json" in request.headers.get(
        "content-type", ""
    )
