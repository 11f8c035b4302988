"""Keys of the tests' tenants: given by a Secret, so that no pipeline needs a tenant made for it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from cloudscale.access.given_keys import entry_of
from cloudscale.access.new_keys import NewKey, new_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e2e.cluster import Cluster

SECRET = "e2e-senders"
MADE = {tenant: new_key(tenant, "tests on a cluster") for tenant in ("e2e", "cdnow")}
KEYS = {tenant: key.text for tenant, key in MADE.items()}
"""What the senders of a tenant prove themselves with."""


def senders(name: str = SECRET, keys: Iterable[NewKey] = tuple(MADE.values())) -> dict[str, Any]:
    """The Secret that gives keys to a pipeline."""
    content = json.dumps([entry_of(key.record) for key in keys])
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"keys.yaml": content}}


def secret_value(cluster: Cluster, name: str, key: str) -> str:
    """What a Secret holds under a key, read as the documentation says."""
    return base64.b64decode(cluster.kubectl("get", "secret", name, f"-o=jsonpath={{.data.{key}}}")).decode()
