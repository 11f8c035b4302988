"""What a pipeline's Secrets hold: the broker's connection string, the backends' ports, and whether all are there."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudscale.pipeline import SecretKey
from cloudscale_operator.names import AUTHORITY_KEY, DASHBOARD, FOLLOWER, INGESTION, READER, WORKER
from cloudscale_operator.ports import named_ports
from cloudscale_operator.timing import DEFAULT_TIMING

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline, Role
    from cloudscale_operator.api import KubernetesApi
    from cloudscale_operator.timing import Timing

AGE_SECONDS = 60.0
"""How late a changed Secret is noticed."""
MISSING_AGE_SECONDS = 5.0
"""The same for one that was not there: pipeline and Secrets are often applied together."""

QUEUE = "the queue"
CACHE = "the cache"
ARCHIVE = "the archive"
OUTLET = "the outlet "
DASHBOARD_TOKEN = "the dashboard"  # noqa: S105 - what needs the Secret, as a message says it
SIGN_IN = "the dashboard's sign-in"
GIVEN_KEYS = "the list of given keys"
INGESTION_TLS = ("ingestion's certificate", "ingestion's private key")
DASHBOARD_TLS = ("the dashboard's certificate", "the dashboard's private key")
AS_FILES = (DASHBOARD_TOKEN, SIGN_IN, GIVEN_KEYS, *INGESTION_TLS, *DASHBOARD_TLS)
"""What services read from a file, again when it changes; the dashboard's pod is replaced with its certificate."""

Data = dict[str, dict[str, str]]
"""What the Secrets hold, by name and key, encoded as the API server sends it."""


@dataclass(frozen=True)
class Credentials:
    """What was read, or was read last before a Secret went.

    ``missing`` has a line for each Secret or key that a service needs and that is not there.
    """

    connection_string: str
    """Empty where none is needed, and where it is missing and nobody remembers it."""
    redis_url: str
    """The same."""
    authority: str
    """PEM of the backends' certificate authority, empty if the namespace has none."""
    missing: tuple[str, ...]
    queue_missing: str
    """The line about the queue's Secret if nobody remembers what it held: then nobody can read the queue's depth."""
    ports: frozenset[int]
    """TCP ports that the Secrets name, for which the pods need a way out."""
    digest: str
    """Changes with anything in the Secrets that a service reads at its start."""
    broker_digest: str
    """Changes with the credentials of the queue alone."""
    certificate_digest: str
    """Changes with the certificate of the dashboard."""
    outlets_digest: str
    """Changes with the secrets that outlets sign with, which one pod reads at its start."""
    is_complete: bool
    """Whether every value is known, be it from memory."""


class CredentialCache:
    """One pipeline's credentials, read anew when its specification changes, or by age.

    It remembers what a Secret held that is gone: pods go on with what they have read, and a queue is emptied with it
    when pipeline and Secrets were deleted together. Only what the specification still names is remembered.
    """

    def __init__(self, *, timing: Timing = DEFAULT_TIMING) -> None:
        self._timing = timing
        self._credentials: Credentials | None = None
        self._data: Data = {}
        self._generation = -1
        self._read_at = 0.0

    async def read(self, api: KubernetesApi, pipeline: EventPipeline, *, authority_secret: str) -> Credentials:
        """The credentials.

        Raises:
            ApiRefusalError, BackendUnavailableError: the API server refuses or does not answer.
        """
        now = self._timing.monotonic()
        known, generation = self._credentials, pipeline.metadata.generation
        if known and self._generation == generation:
            age = MISSING_AGE_SECONDS if known.missing else AGE_SECONDS
            if now - self._read_at < age:
                return known
        found = await read_secrets(api, pipeline, authority_secret=authority_secret)
        self._credentials, self._data = evaluate(
            pipeline, found, remembered=self._data, authority_secret=authority_secret
        )
        self._generation, self._read_at = generation, now
        return self._credentials


async def read_secrets(api: KubernetesApi, pipeline: EventPipeline, *, authority_secret: str) -> Data:
    """Read the Secrets that the specification names, and the authority's if there is one.

    Raises:
        ApiRefusalError, BackendUnavailableError: the API server refuses or does not answer.
    """
    names = {reference.name for reference in _wanted(pipeline).values()} | {authority_secret} - {""}
    found: Data = {}
    for name in sorted(names):
        secret = await api.read(f"/api/v1/namespaces/{pipeline.metadata.namespace}/secrets/{name}")
        if secret is not None:
            found[name] = secret.get("data", {})
    return found


def evaluate(
    pipeline: EventPipeline, found: Data, *, remembered: Data, authority_secret: str
) -> tuple[Credentials, Data]:
    """The credentials, and the data that they were taken from: what was found, completed by what is remembered."""
    wanted = _wanted(pipeline)
    complaints = {
        what: _complaint(what, reference, found)
        for what, reference in wanted.items()
        if _value(found, reference) is None
    }
    data = dict(found)
    for what in complaints:
        reference = wanted[what]
        if _value(remembered, reference) is not None:
            data[reference.name] = remembered[reference.name] | data.get(reference.name, {})
            data[reference.name][reference.key] = remembered[reference.name][reference.key]
    if complaints and authority_secret not in found and authority_secret in remembered:
        # It went together with the others, so the backends still have the certificate that it vouches for.
        data[authority_secret] = remembered[authority_secret]
    # Files that services read again when they change, and no addresses of anything.
    read_at_start = {
        what: reference for what, reference in wanted.items() if what not in AS_FILES and not what.startswith(OUTLET)
    }
    signing = [_value(data, reference) for what, reference in wanted.items() if what.startswith(OUTLET)]
    values = {what: _value(data, reference) for what, reference in read_at_start.items()}
    names = {reference.name for reference in read_at_start.values()} | {authority_secret}
    credentials = Credentials(
        connection_string=values.get(QUEUE) or "",
        redis_url=values.get(CACHE) or "",
        authority=_decoded(data.get(authority_secret, {}).get(AUTHORITY_KEY, "")) or "",
        missing=tuple(complaints.values()),
        queue_missing=complaints.get(QUEUE, "") if QUEUE in values and values[QUEUE] is None else "",
        ports=frozenset(port for value in values.values() if value for port in named_ports(value)),
        digest=_digest(sorted((name, sorted(held.items())) for name, held in data.items() if name in names)),
        broker_digest=_digest([values.get(QUEUE), pipeline.spec.identity.client_id_of(READER)]),
        certificate_digest=_digest([_value(data, wanted[what]) for what in DASHBOARD_TLS if what in wanted]),
        outlets_digest=_digest(signing),
        is_complete=None not in (*values.values(), *signing),
    )
    return credentials, data


def _wanted(pipeline: EventPipeline) -> dict[str, SecretKey]:
    spec = pipeline.spec
    dashboard = spec.dashboard
    named = {
        QUEUE: spec.queue.connection_of(READER),
        **_connections(pipeline),
        CACHE: spec.cache.url_secret_ref,
        "Application Insights": spec.telemetry.tracing.application_insights_secret_ref,
        DASHBOARD_TOKEN: dashboard.token_secret_ref if dashboard.enabled else None,
        GIVEN_KEYS: spec.access.given_keys,
        SIGN_IN: dashboard.sign_in.client_secret_ref if dashboard.enabled and dashboard.sign_in else None,
        **_certificates(pipeline),
    }
    return {what: reference for what, reference in named.items() if reference is not None}


def _certificates(pipeline: EventPipeline) -> dict[str, SecretKey | None]:
    ingestion, dashboard = pipeline.spec.ingestion.tls_secret_name, pipeline.spec.dashboard.tls_secret_name
    named: dict[str, SecretKey | None] = {}
    if ingestion:
        named |= zip(INGESTION_TLS, _certificate_of(ingestion), strict=True)
    if dashboard and pipeline.spec.dashboard.enabled:
        named |= zip(DASHBOARD_TLS, _certificate_of(dashboard), strict=True)
    return named


def _certificate_of(secret: str) -> tuple[SecretKey, SecretKey]:
    return SecretKey(name=secret, key="tls.crt"), SecretKey(name=secret, key="tls.key")


def _connections(pipeline: EventPipeline) -> dict[str, SecretKey | None]:
    """The services' connection strings. One that they share is named once."""
    queue, store = pipeline.spec.queue, pipeline.spec.store
    services: list[Role] = [INGESTION, WORKER]
    if pipeline.spec.dashboard.enabled:
        services.append(DASHBOARD)
    archive = pipeline.spec.archive
    if archive is not None or pipeline.spec.outlets:
        services.append(FOLLOWER)
    named: dict[str, SecretKey | None] = {}
    for role in services:
        if role != FOLLOWER and (reference := queue.connection_of(role)) != queue.connection_of(READER):
            named[f"the queue for {role}"] = reference
        reference = store.connection_of(role)
        named["the store" if reference == store.connection else f"the store for {role}"] = reference
    if archive is not None and archive.blob is not None:
        named[ARCHIVE] = archive.blob.connection_secret_ref
    for outlet in pipeline.spec.outlets:
        named[OUTLET + outlet.name] = outlet.webhook.secret_ref
    return named


def _digest(content: object) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


def _complaint(what: str, reference: SecretKey, found: Data) -> str:
    if reference.name not in found:
        return f"{what} needs the Secret {reference.name}, which does not exist in the namespace: create it"
    key = f"{what} needs the key {reference.key} of the Secret {reference.name}, which"
    if reference.key not in found[reference.name]:
        return f"{key} it does not have: add it"
    return f"{key} is not text in UTF-8: replace it"


def _value(found: Data, reference: SecretKey) -> str | None:
    encoded = found.get(reference.name, {}).get(reference.key)
    return None if encoded is None else _decoded(encoded)


def _decoded(encoded: str) -> str | None:
    """The text, None if it is none."""
    try:
        return base64.b64decode(encoded).decode()
    except UnicodeDecodeError:
        return None
