"""An example for each field of the resource, and what has to stand beside it for the resource to be valid."""

from __future__ import annotations

from typing import Any

from cloudscale.pipeline import QueueRoles, StoreRoles

Schema = dict[str, Any]

_SECRET = {"name": "shop-credentials", "key": "connectionString"}
_IDENTITY = {"identity": {"clientId": "00000000-0000-0000-0000-000000000000"}}
_SHARED_VALUE = {"processing": {"fraud": {"sharedValue": {"property": "cardFingerprint"}}}}
_SIGN_IN = {
    "issuer": "https://login.shop.example/",
    "clientId": "cloudscale-dashboard",
    "origin": "https://dashboard.shop.example",
    "roles": [{"value": "shop-operators", "role": "operator"}],
}
_WEBHOOK = {
    "url": "https://crm.shop.example/hooks",
    "secretRef": {"name": "crm-hook", "key": "secret"},
    "batch": 100,
}
_OUTLET = {"name": "crm", "webhook": _WEBHOOK, "filter": {"eventTypes": ["purchase"]}}
_SIGNED_IN = {"dashboard": {"signIn": _SIGN_IN}}

GIVEN: dict[str, Any] = {
    "queue.namespace": "shop-abc123.servicebus.windows.net",
    "queue.maxSize": "10Gi",
    "queue.lockDuration": "1m",
    "archive.directory": "/srv/archive",
    "archive.blob": {"connectionSecretRef": _SECRET},
    "outlets": [_OUTLET],
    **{f"outlets[].{field}": value for field, value in _OUTLET.items()},
    **{f"outlets[].webhook.{field}": value for field, value in _WEBHOOK.items()},
    "outlets[].webhook.secretRef.name": "crm-hook",
    "outlets[].webhook.secretRef.key": "secret",
    "outlets[].webhook.timeout": "5s",
    "outlets[].webhook.retryFor": "1h",
    "outlets[].filter.eventTypes": ["purchase"],
    "outlets[].filter.tenants": ["shop"],
    "store.endpoint": "https://shop-abc123.documents.azure.com:443/",
    "identity.clientId": _IDENTITY["identity"]["clientId"],
    "access.tokens": [{"issuer": "https://login.shop.example/", "audiences": ["cloudscale"]}],
    "access.tokens[].issuer": "https://login.shop.example/",
    "access.tokens[].audiences": ["cloudscale"],
    "eventTypes": [{"name": "newsletter_signup"}],
    "eventTypes[].name": "newsletter_signup",
    "eventTypes[].schema": {"type": "object", "required": ["email"], "properties": {"email": {"type": "string"}}},
    "ingestion.tlsSecretName": "shop-tls",
    "dashboard.tlsSecretName": "shop-dashboard-tls",
    "ingestion.trustedProxies": ["10.0.0.0/8"],
    "processing.scoring": {"page_view": 2, "purchase": 100},
    "processing.concurrency.steps": [{"depth": 0, "limit": 16}, {"depth": 2000, "limit": 4}],
    "processing.concurrency.steps[].depth": 0,
    "processing.concurrency.steps[].limit": 16,
    "processing.circuitBreaker.failureRatio": 0.25,
    "processing.fraud.velocity.trustedNetworks": ["10.0.0.0/8"],
    "processing.fraud.sharedValue": {"property": "cardFingerprint"},
    "processing.fraud.sharedValue.property": "cardFingerprint",
    "access.keys": {"secretRef": {"name": "senders"}},
    "access.keys.secretRef": {"name": "senders"},
    "access.keys.secretRef.name": "senders",
    "access.keys.secretRef.key": "keys.json",
    "dashboard.signIn": _SIGN_IN,
    **{f"dashboard.signIn.{field}": value for field, value in _SIGN_IN.items()},
    "dashboard.signIn.name": "Shop",
    "dashboard.signIn.roles[].value": "shop-operators",
    "dashboard.signIn.roles[].role": "operator",
    "dashboard.signIn.roles[].tenants": ["shop"],
    "dashboard.signIn.roles[].tenantsClaim": "tenants",
    "expose.ingress.host": "events.shop.example",
    "expose.ingress.className": "nginx",
    "expose.ingress.tlsSecretName": "shop-tls",
    "expose.gateway.name": "public",
    "expose.gateway.namespace": "gateways",
    "expose.gateway.hostnames": ["events.shop.example"],
    "networkPolicy.ingressNamespaces": ["ingress-nginx"],
    "networkPolicy.ingressNetworks": ["10.0.0.0/8"],
    "placement.nodeSelector": {"kubernetes.io/arch": "amd64"},
    "placement.affinity": {"nodeAffinity": {}},
    "placement.tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "placement.pinTo": "cloudscale.io/bench",
    "telemetry.tracing.endpoint": "http://otel-collector.monitoring:4318/v1/traces",
}
"""Where an example cannot be made from the default; paths from ``spec`` on."""

BESIDE: dict[str, dict[str, Any]] = {
    **{
        f"dashboard.signIn.{field}": _SIGNED_IN
        for field in (*_SIGN_IN, "clientSecretRef.name", "clientSecretRef.key", "name", "scopes", "rolesClaim")
    },
    **{
        f"{backend}.roleSecretRefs.{role}.{field}": {backend: {"roleSecretRefs": {role: _SECRET}}}
        for backend, roles in (("queue", QueueRoles), ("store", StoreRoles))
        for role in roles.__struct_fields__
        for field in _SECRET
    },
    "access.keys.secretRef.key": {"access": {"keys": {"secretRef": {"name": "senders"}}}},
    "archive.blob.connectionSecretRef.name": {"archive": {"blob": {"connectionSecretRef": _SECRET}}},
    "archive.blob.connectionSecretRef.key": {"archive": {"blob": {"connectionSecretRef": _SECRET}}},
    "archive.container": {"archive": {"blob": {"connectionSecretRef": _SECRET}}},
    "queue.namespace": _IDENTITY,
    "store.endpoint": _IDENTITY,
    "processing.fraud.sharedValue.users": _SHARED_VALUE,
    "processing.fraud.sharedValue.window": _SHARED_VALUE,
    "expose.ingress.className": {"expose": {"ingress": {"host": "events.shop.example"}}},
    "expose.ingress.tlsSecretName": {"expose": {"ingress": {"host": "events.shop.example"}}},
    "expose.gateway.namespace": {"expose": {"gateway": {"name": "public"}}},
    "expose.gateway.hostnames": {"expose": {"gateway": {"name": "public"}}},
}
"""What a field needs beside it."""


def example_of(path: str, schema: Schema) -> Any:
    """A value that the field may have, another than its default where there is a simple one."""
    if path in GIVEN:
        return GIVEN[path]
    default = schema.get("default")
    if path.endswith("SecretRef") or (".roleSecretRefs." in path and not path.endswith((".name", ".key"))):
        return _SECRET
    if ".roleClientIds." in path:
        return _IDENTITY["identity"]["clientId"]
    if path.endswith(("SecretRef.name", "SecretRef.key")) or ".roleSecretRefs." in path:
        return _SECRET[path.rpartition(".")[2]]
    if path.endswith(("requests", "limits")) and schema["type"] == "object":
        return {"cpu": "500m", "memory": "256Mi"}
    if schema["type"] == "boolean":
        return not default
    if "enum" in schema:
        return schema["enum"][-1]
    if schema["type"] in ("integer", "number") and default is not None:
        return min(default * 2 or 1, schema.get("maximum", default * 2 or 1))
    return default
