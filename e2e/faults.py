"""Fault injection: the store's emulator answers slowly."""

from __future__ import annotations

import base64
import hmac
import json
import urllib.request
from contextlib import contextmanager
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import quote

from e2e.documents import PORT, connection_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster import Cluster


@contextmanager
def slow_store(cluster: Cluster, *, milliseconds: int) -> Iterator[None]:
    """Hold back every answer of the store."""
    _set_faults(cluster, delayMilliseconds=milliseconds)
    try:
        yield
    finally:
        _set_faults(cluster)


def _set_faults(cluster: Cluster, **plan: int) -> None:
    key = connection_value(cluster, "cloudscale-cosmos", "AccountKey")
    date = formatdate(usegmt=True)
    signature = hmac.digest(base64.b64decode(key), f"put\n$faults\n\n{date.lower()}\n\n".encode(), "sha256")
    token = f"type=master&ver=1.0&sig={base64.b64encode(signature).decode()}"
    headers = {"x-ms-date": date, "authorization": quote(token, safe="")}
    with cluster.forward("service/cosmos", PORT) as port:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/$faults", method="PUT", data=json.dumps(plan).encode(), headers=headers
        )
        urllib.request.urlopen(request, timeout=30).close()
