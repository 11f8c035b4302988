"""Session tokens: how far each partition key range has come, for clients that want to read what they have written.

SDKs keep a token for each range, by the name and the resource id of the container that the answer belongs to, and send
it with their reads ("Consistency levels in Azure Cosmos DB"; ``SessionContainer`` in the SDKs). Reads here are always
current, so the tokens that come back are not looked at. All ranges of a container count with one sequence.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from cloudscale.emulators.cosmos.decoding import whole_number
from cloudscale.emulators.cosmos.documents import Documents
from cloudscale.emulators.cosmos.emulator import Emulator, partition_key_of
from cloudscale.emulators.cosmos.protocol import Request

_ONLY: Final = (0,)


def session_headers(emulator: Emulator, documents: Documents, request: Request) -> dict[str, str]:
    """What an answer about documents says of the container, of itself and of the ranges that it comes from."""
    host = emulator.account.host(request)
    ranges = _ranges_of(emulator, documents, request)
    lsn = documents.lsn
    return {
        "x-ms-session-token": ",".join([f"{number}:-1#{lsn}" for number in ranges]),
        "x-ms-documentdb-partitionkeyrangeid": str(ranges[0]),
        "x-ms-alt-content-path": documents.container.path,
        "x-ms-content-path": documents.container.rid,
        "content-location": f"{emulator.account.scheme}://{host}{request.path}",
    }


def _ranges_of(emulator: Emulator, documents: Documents, request: Request) -> Sequence[int]:
    """The numbers of the ranges that a request is about, the first one first."""
    boundaries = emulator.boundaries
    if len(boundaries) == 2:
        return _ONLY
    number = whole_number(request.headers.get("x-ms-documentdb-partitionkeyrangeid", ""))
    if number is not None:
        return (number,)
    header = request.headers.get("x-ms-documentdb-partitionkey")
    definition = documents.container.partition_key
    if header is None or definition.prefix_of_header(header) is not None:
        return range(len(boundaries) - 1)
    key = partition_key_of(request, documents)
    return _ONLY if key is None else (bisect_right(boundaries, definition.effective(key)) - 1,)
