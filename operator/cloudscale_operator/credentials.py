"""What a pipeline's Secrets hold: the broker's connection string, and whether everything is there."""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudscale_operator.names import AUTHORITY_KEY

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline, SecretKey
    from cloudscale_operator.api import KubernetesApi

AGE_SECONDS = 60.0
"""How late a changed Secret is noticed."""
MISSING_AGE_SECONDS = 5.0
"""The same for one that was not there: pipeline and Secrets are often applied together."""


@dataclass(frozen=True)
class Credentials:
    """``missing`` has a line for each Secret or key that a service needs and that is not there."""

    connection_string: str
    authority: str
    """PEM of the backends' certificate authority, empty if the namespace has none."""
    missing: tuple[str, ...]
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
        self._credentials = await read_credentials(api, pipeline, authority_secret=authority_secret)
        self._generation, self._read_at = generation, now
        return self._credentials


async def read_credentials(api: KubernetesApi, pipeline: EventPipeline, *, authority_secret: str) -> Credentials:
    """Read the Secrets that the specification names, and the authority's if there is one.

    Raises:
        ApiRefusalError, BackendUnavailableError: the API server refuses or does not answer.
    """
    spec = pipeline.spec
    named = {
        "the queue": spec.queue.connection,
        "the store": spec.store.connection,
        "the cache": spec.cache.url_secret_ref,
        "Application Insights": spec.telemetry.tracing.application_insights_secret_ref,
    }
    wanted = {what: reference for what, reference in named.items() if reference is not None}
    names = {reference.name for reference in wanted.values()} | {authority_secret} - {""}
    found: dict[str, dict[str, str]] = {}
    for name in sorted(names):
        secret = await api.read(f"/api/v1/namespaces/{pipeline.metadata.namespace}/secrets/{name}")
        if secret is not None:
            found[name] = secret.get("data", {})
    missing = tuple(
        _complaint(what, reference, found)
        for what, reference in wanted.items()
        if reference.key not in found.get(reference.name, {})
    )
    summary = hashlib.sha256()
    for name, data in sorted(found.items()):
        summary.update(repr((name, sorted(data.items()))).encode())
    return Credentials(
        connection_string=_value(found, spec.queue.connection),
        authority=_decoded(found.get(authority_secret, {}).get(AUTHORITY_KEY, "")),
        missing=missing,
        digest=summary.hexdigest()[:16],
    )


def _complaint(what: str, reference: SecretKey, found: dict[str, dict[str, str]]) -> str:
    if reference.name not in found:
        return f"{what} needs the Secret {reference.name}, which does not exist in the namespace: create it"
    return f"{what} needs the key {reference.key} of the Secret {reference.name}, which it does not have: add it"


def _value(found: dict[str, dict[str, str]], reference: SecretKey | None) -> str:
    return _decoded(found.get(reference.name, {}).get(reference.key, "")) if reference else ""


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()
