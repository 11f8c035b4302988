"""Every name that the operator gives: objects, labels, annotations, ports and paths."""

from __future__ import annotations

from typing import Final

from cloudscale.pipeline import GROUP

OPERATOR = "cloudscale-operator"
"""Field manager of everything applied, and the value of the managed-by label."""

FINALIZER = f"{GROUP}/drain"

INGESTION: Final = "ingestion"
WORKER: Final = "worker"
DASHBOARD: Final = "dashboard"
FOLLOWER: Final = "follower"
"""Who writes the archive."""
OUTLETS: Final = "outlets"
"""Who sends to outlets, with the account and the credentials of a follower."""
READER: Final = "operator"
"""The role of whoever reads how deep the queue is: the operator, and KEDA."""

PIPELINE_LABEL = f"{GROUP}/pipeline"
COMPONENT_LABEL = "app.kubernetes.io/component"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"

CONFIGURATION_HASH = f"{GROUP}/configuration-hash"
"""On pod templates: changes when a service would read something else at its start, and so rolls the pods."""
MANIFEST_HASH = f"{GROUP}/manifest-hash"
"""On every object: the manifest that was applied last, so that a new operator knows what need not be applied again."""
CREDENTIALS_HASH = f"{GROUP}/credentials-hash"
"""On pod templates: changes when a Secret that a service reads at its start does."""

OUTLETS_HASH = f"{GROUP}/outlets-hash"
"""On the pod template of who sends to outlets: changes with the secrets that it signs with."""

CERTIFICATE_HASH = f"{GROUP}/certificate-hash"
"""On the dashboard's pod template: changes with the certificate that it shows, which it reads at its start."""

PIPELINE_UID = f"{GROUP}/pipeline-uid"
"""On every object while its pipeline is being deleted, instead of the owner reference: whose it is."""

HTTP_PORT = 8080
METRICS_PORT = 9090

CONFIGURATION_DIRECTORY = "/etc/cloudscale/pipeline"
CONFIGURATION_FILE = "pipeline.json"
AUTHORITY_DIRECTORY = "/etc/cloudscale/authority"
AUTHORITY_KEY = "ca.crt"
TLS_DIRECTORY = "/etc/cloudscale/tls"
TOKEN_DIRECTORY = "/etc/cloudscale/token"  # noqa: S105 - a path
KEYS_DIRECTORY = "/etc/cloudscale/keys"
FIRST_KEY_DIRECTORY = "/etc/cloudscale/first-key"
CLIENT_SECRET_DIRECTORY = "/etc/cloudscale/client-secret"  # noqa: S105 - a path
METRICS_DIRECTORY = "/var/run/cloudscale"

PIPELINE_CONFIGURATION = "pipeline"
"""Part of the name of the ConfigMap with the resource."""

ACCESS = "access"
"""Part of the name of the Secret with the first key."""
FIRST_KEY = "key"
GIVEN_KEYS = "keys.json"
"""What that Secret holds: the key itself, and the file that gives it to the services, without its secret."""
TOKEN = "token"  # noqa: S105 - a name
"""What the Secret with the dashboard's token holds."""

PIPELINE_SERVICE_ACCOUNT = "pipeline"
"""Of roles that share an identity, and that whose tokens the operator asks for to read the depth."""
BROKER = "broker"


def object_name(pipeline: str, part: str) -> str:
    """The name of the pipeline's object for ``part``: ``{pipeline}-{part}``."""
    return f"{pipeline}-{part}"


def selector_labels(pipeline: str, component: str | None = None) -> dict[str, str]:
    """Labels that select the pods of a pipeline, or of one role of it. They never change."""
    labels = {"app.kubernetes.io/name": "cloudscale", "app.kubernetes.io/instance": pipeline}
    return labels | ({COMPONENT_LABEL: component} if component else {})


def common_labels(pipeline: str) -> dict[str, str]:
    """Labels of every object that belongs to a pipeline."""
    return {
        **selector_labels(pipeline),
        "app.kubernetes.io/part-of": "cloudscale",
        MANAGED_BY_LABEL: OPERATOR,
        PIPELINE_LABEL: pipeline,
    }
