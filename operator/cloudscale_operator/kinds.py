"""The kinds of object that a pipeline consists of, and where they live in the Kubernetes API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cloudscale.pipeline import GROUP, KIND, PLURAL, VERSION

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One kind of object in a namespace. An ``optional`` one belongs to an extension that a cluster may lack."""

    api_version: str
    kind: str
    plural: str
    optional: bool = False

    @property
    def group(self) -> str:
        """The API group, empty for the core one."""
        return self.api_version.rpartition("/")[0]

    @property
    def group_path(self) -> str:
        """Where the API server lists the kinds of this group and version."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"

    def collection(self, namespace: str | None) -> str:
        """Where the API server lists the objects of a namespace, or of all."""
        return self.path(namespace) if namespace else f"{self.group_path}/{self.plural}"

    def path(self, namespace: str, name: str = "") -> str:
        """Where the API server keeps one object, or all of a namespace."""
        return f"{self.group_path}/namespaces/{namespace}/{self.plural}" + (f"/{name}" if name else "")


EVENT_PIPELINE = Kind(f"{GROUP}/{VERSION}", KIND, PLURAL)
POD = Kind("v1", "Pod", "pods")
SECRET = Kind("v1", "Secret", "secrets")
EVENT = Kind("v1", "Event", "events")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
SERVICE = Kind("v1", "Service", "services")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
AUTOSCALER = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
INGRESS = Kind("networking.k8s.io/v1", "Ingress", "ingresses")
ROLE = Kind("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
SCALED_OBJECT = Kind("keda.sh/v1alpha1", "ScaledObject", "scaledobjects", optional=True)
TRIGGER_AUTHENTICATION = Kind("keda.sh/v1alpha1", "TriggerAuthentication", "triggerauthentications", optional=True)
HTTP_ROUTE = Kind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes", optional=True)
SERVICE_MONITOR = Kind("monitoring.coreos.com/v1", "ServiceMonitor", "servicemonitors", optional=True)
PROMETHEUS_RULE = Kind("monitoring.coreos.com/v1", "PrometheusRule", "prometheusrules", optional=True)

KINDS = (
    SERVICE_ACCOUNT,
    ROLE,
    ROLE_BINDING,
    CONFIG_MAP,
    NETWORK_POLICY,
    SERVICE,
    DISRUPTION_BUDGET,
    DEPLOYMENT,
    TRIGGER_AUTHENTICATION,
    SCALED_OBJECT,
    AUTOSCALER,
    INGRESS,
    HTTP_ROUTE,
    SERVICE_MONITOR,
    PROMETHEUS_RULE,
)
"""In the order in which they are applied: what a pod needs before the pod."""

OPTIONAL_KINDS = tuple(kind for kind in KINDS if kind.optional)

_BY_NAME = {kind.kind: kind for kind in (*KINDS, EVENT_PIPELINE)}


def kind_of(manifest: Manifest) -> Kind:
    """The kind of a manifest that this operator builds, or of a pipeline."""
    return _BY_NAME[manifest["kind"]]


def without_managed_fields(body: Manifest) -> Manifest:
    """A copy without the record of who set which field: half of the object's size, and nothing reads it here."""
    metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    return {**body, "metadata": metadata}
