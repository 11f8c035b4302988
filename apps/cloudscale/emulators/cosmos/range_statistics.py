"""How much is in each partition key range of a container, for clients that ask for it when they read the container."""

import sqlite3
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from cloudscale.emulators.cosmos.throughput import KILOBYTE


def range_statistics(connection: sqlite3.Connection, container: int, boundaries: Sequence[str]) -> list[dict[str, Any]]:
    """The documents and kilobytes of each range; ``boundaries`` as those of the account. It reads every document."""
    statistics: list[dict[str, Any]] = []
    for number, (low, high) in enumerate(pairwise(boundaries)):
        span = f"SELECT number FROM partitions_{container} WHERE effective >= ? AND effective < ?"
        documents, size = connection.execute(
            f"SELECT count(*), total(octet_length) FROM (SELECT length(CAST(body AS BLOB)) AS octet_length "
            f"FROM documents_{container} WHERE partition IN ({span}))",
            (low, high),
        ).fetchone()
        statistics.append(
            {"id": str(number), "sizeInKB": int(size) // KILOBYTE, "documentCount": documents, "partitionKeys": []}
        )
    return statistics
