"""What the manifests of a pipeline depend on besides its specification."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cloudscale.telemetry.prometheus_rules import RUNBOOKS
from cloudscale_operator.hosts import AZURE_HOSTS

if TYPE_CHECKING:
    from cloudscale_operator.kinds import Kind


@dataclass(frozen=True)
class Context:
    """The operator's own options, and what it found in the cluster and in the pipeline's Secrets."""

    image: str
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    log_format: str = "json"
    allowed_hosts: tuple[str, ...] = AZURE_HOSTS
    """Hosts that a pipeline may name to be reached with a token, and suffixes of them."""
    authority_secret: str = ""
    """Secret with the certificate authority of the backends, empty if there is none in the namespace."""
    credentials_hash: str = ""
    broker_hash: str = ""
    """Changes with the credentials of the queue."""
    certificate_hash: str = ""
    """Changes with the certificate of the dashboard."""
    outlets_hash: str = ""
    """Changes with the secrets that outlets sign with."""
    backend_ports: frozenset[int] = frozenset()
    """TCP ports that the pipeline's Secrets name."""
    available: frozenset[Kind] = field(default_factory=frozenset)
    """Optional kinds that the cluster has."""
    runbooks: str = RUNBOOKS
    """Where the pages are that alerts lead to."""
    draining: bool = False
    """The pipeline is being deleted: ingestion takes nothing any more, workers go on."""
