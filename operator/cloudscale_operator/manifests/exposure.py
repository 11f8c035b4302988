"""Ways in from outside of the cluster: an Ingress or a Gateway API HTTPRoute.

They lead to what clients need and to nothing else: metrics, figures and probes share the port, and tell about tenants
and volumes to whoever asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudscale_operator.kinds import HTTP_ROUTE, INGRESS, Manifest
from cloudscale_operator.manifests.services import WebPort
from cloudscale_operator.names import INGESTION, object_name

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline, Gateway, Ingress
    from cloudscale_operator.context import Context

PUBLIC_PREFIX = "/api"
PUBLIC_PATHS = ("/docs", "/docs.js", "/openapi.json", "/cloudscale.js")
"""The description of the API, and the script for web pages; a prefix would let in what lies below."""


def build_exposure(pipeline: EventPipeline, context: Context) -> list[Manifest]:
    """Whatever of the two the specification asks for; an HTTPRoute only where the cluster has the kind."""
    expose = pipeline.spec.expose
    built = []
    if expose.ingress:
        built.append(_ingress(pipeline, expose.ingress))
    if expose.gateway and HTTP_ROUTE in context.available:
        built.append(_route(pipeline, expose.gateway))
    return built


def _port(pipeline: EventPipeline) -> int:
    return WebPort.of(pipeline.spec.ingestion.tls_secret_name).number


def _ingress(pipeline: EventPipeline, ingress: Ingress) -> Manifest:
    service = object_name(pipeline.metadata.name, INGESTION)
    backend = {"service": {"name": service, "port": {"number": _port(pipeline)}}}
    paths = [
        {"path": PUBLIC_PREFIX, "pathType": "Prefix", "backend": backend},
        *({"path": path, "pathType": "Exact", "backend": backend} for path in PUBLIC_PATHS),
    ]
    specification: dict[str, Any] = {"rules": [{"host": ingress.host, "http": {"paths": paths}}]}
    if ingress.class_name:
        specification["ingressClassName"] = ingress.class_name
    if ingress.tls_secret_name:
        specification["tls"] = [{"hosts": [ingress.host], "secretName": ingress.tls_secret_name}]
    return {
        "apiVersion": INGRESS.api_version,
        "kind": INGRESS.kind,
        "metadata": {"name": service},
        "spec": specification,
    }


def _route(pipeline: EventPipeline, gateway: Gateway) -> Manifest:
    service = object_name(pipeline.metadata.name, INGESTION)
    parent = {"name": gateway.name} | ({"namespace": gateway.namespace} if gateway.namespace else {})
    matches = [
        {"path": {"type": "PathPrefix", "value": PUBLIC_PREFIX}},
        *({"path": {"type": "Exact", "value": path}} for path in PUBLIC_PATHS),
    ]
    specification: dict[str, Any] = {
        "parentRefs": [parent],
        "rules": [{"matches": matches, "backendRefs": [{"name": service, "port": _port(pipeline)}]}],
    }
    if gateway.hostnames:
        specification["hostnames"] = list(gateway.hostnames)
    return {
        "apiVersion": HTTP_ROUTE.api_version,
        "kind": HTTP_ROUTE.kind,
        "metadata": {"name": service},
        "spec": specification,
    }
