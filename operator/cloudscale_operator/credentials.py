"""What a pipeline's Secrets hold: the broker's connection string, the backends' ports, and whether all are there."""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cloudscale_operator.names import AUTHORITY_KEY
from cloudscale_operator.ports import named_ports

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline, SecretKey
    from cloudscale_operator.api import KubernetesApi

AGE_SECONDS = 60.0
"""How late a changed Secret is noticed."""
MISSING_AGE_SECONDS = 5.0
"""The same for one that was not there: pipeline and Secrets are often applied together."""

QUEUE = "the queue"
CACHE = "the cache"


@dataclass(frozen=True)
class Credentials:
    """``missing`` has a line for each Secret or key that a service needs and that is not there."""

    connection_string: str
    redis_url: str
    """Empty if its Secret is not there."""
    authority: str
    """PEM of the backends' certificate authority, empty if the namespace has none."""
    missing: tuple[str, ...]
    queue_missing: str
    """The line about the queue's Secret, empty if it is there. Without it nobody can tell how deep the queue is."""
    ports: frozenset[int]
    """TCP ports that the Secrets name, for which the pods need a way out."""
    digest: str


class CredentialCache:
    """One pipeline's credentials, read anew when its specification changes, or by age."""

    def __init__(self) -> None:
        self._credentials: Credentials | None = None
        self._generation = -1
        self._read_at = 0.0

    async def read(self, api: KubernetesApi, pipeline: EventPipeline, *, authority_secret: str) -> Credentials:
        """The credentials; raises as :func:`read_credentials`."""
        now = time.monotonic()
        known, generation = self._credentials, pipeline.metadata.generation
        if known and self._generation == generation:
            age = MISSING_AGE_SECONDS if known.missing else AGE_SECONDS
            if now - self._read_at < age:
                return known
        found = await read_credentials(api, pipeline, authority_secret=authority_secret)
        if known and found.missing:
            # Pods that have read a Secret while it was there go on with what it said.
            found = replace(found, ports=found.ports | known.ports)
        self._credentials = found
        self._generation, self._read_at = generation, now
        return found


async def read_credentials(api: KubernetesApi, pipeline: EventPipeline, *, authority_secret: str) -> Credentials:
    """Read the Secrets that the specification names, and the authority's if there is one.

    Raises:
        ApiRefusalError, BackendUnavailableError: the API server refuses or does not answer.
    """
    spec = pipeline.spec
    named = {
        QUEUE: spec.queue.connection,
        "the store": spec.store.connection,
        CACHE: spec.cache.url_secret_ref,
        "Application Insights": spec.telemetry.tracing.application_insights_secret_ref,
    }
    wanted = {what: reference for what, reference in named.items() if reference is not None}
    names = {reference.name for reference in wanted.values()} | {authority_secret} - {""}
    found: dict[str, dict[str, str]] = {}
    for name in sorted(names):
        secret = await api.read(f"/api/v1/namespaces/{pipeline.metadata.namespace}/secrets/{name}")
        if secret is not None:
            found[name] = secret.get("data", {})
    values = {what: _value(found, reference) for what, reference in wanted.items()}
    complaints = {
        what: _complaint(what, reference, found) for what, reference in wanted.items() if values[what] is None
    }
    summary = hashlib.sha256()
    for name, data in sorted(found.items()):
        summary.update(repr((name, sorted(data.items()))).encode())
    return Credentials(
        connection_string=values.get(QUEUE) or "",
        redis_url=values.get(CACHE) or "",
        authority=_decoded(found.get(authority_secret, {}).get(AUTHORITY_KEY, "")) or "",
        missing=tuple(complaints.values()),
        queue_missing=complaints.get(QUEUE, ""),
        ports=frozenset(port for value in values.values() if value for port in named_ports(value)),
        digest=summary.hexdigest()[:16],
    )


def _complaint(what: str, reference: SecretKey, found: dict[str, dict[str, str]]) -> str:
    if reference.name not in found:
        return f"{what} needs the Secret {reference.name}, which does not exist in the namespace: create it"
    key = f"{what} needs the key {reference.key} of the Secret {reference.name}, which"
    if reference.key not in found[reference.name]:
        return f"{key} it does not have: add it"
    return f"{key} is not text in UTF-8: replace it"


def _value(found: dict[str, dict[str, str]], reference: SecretKey) -> str | None:
    encoded = found.get(reference.name, {}).get(reference.key)
    return None if encoded is None else _decoded(encoded)


def _decoded(encoded: str) -> str | None:
    """The text, None if it is none."""
    try:
        return base64.b64decode(encoded).decode()
    except UnicodeDecodeError:
        return None
