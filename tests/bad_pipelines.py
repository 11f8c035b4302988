"""Resources that must be refused, with the field to blame and why: by the loader here, by the API server in e2e.

Both tests read this one table, so a laptop and a cluster refuse the same things at the same paths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

AT_LEAST_1 = "less than the minimum of 1"
SIGN_IN: dict[str, Any] = {
    "issuer": "https://login.example.com",
    "clientId": "dashboard",
    "origin": "https://dashboard.example.com",
    "roles": [{"value": "operators", "role": "operator"}],
}
SERVER_AT_LEAST_1 = "should be greater than or equal to 1"


@dataclass(frozen=True)
class BadPipeline:
    """``reason`` is part of what the loader says, ``server_reason`` of what the API server says if that differs."""

    title: str
    spec: dict[str, Any]
    path: str
    reason: str
    server_reason: str = ""
    name: str = "bad"

    @property
    def document(self) -> dict[str, Any]:
        """The whole resource."""
        return {
            "apiVersion": "cloudscale.io/v1alpha1",
            "kind": "EventPipeline",
            "metadata": {"name": self.name},
            "spec": self.spec,
        }

    @property
    def reason_at_the_server(self) -> str:
        """Part of what ``kubectl apply`` prints."""
        return self.server_reason or self.reason


_CLIENT = "00000000-0000-0000-0000-000000000000"
_SECRET = {"name": "secret", "key": "key"}

BAD_PIPELINES = [
    BadPipeline("unknown section", {"procesing": {}}, "spec.procesing", "did you mean processing", "unknown field"),
    BadPipeline(
        "unknown nested field",
        {"processing": {"replicas": {"minimum": 1}}},
        "spec.processing.replicas.minimum",
        "unknown field",
    ),
    BadPipeline(
        "an outlet over plain HTTP to anywhere",
        {"outlets": [{"name": "crm", "webhook": {"url": "http://crm.example/", "secretRef": _SECRET}}]},
        "spec.outlets[0].webhook.url",
        "must be https://",
    ),
    BadPipeline(
        "two outlets of one name",
        {"outlets": 2 * [{"name": "crm", "webhook": {"url": "https://crm.example/", "secretRef": _SECRET}}]},
        "spec.outlets[1]",
        "Duplicate value",
    ),
    BadPipeline(
        "an outlet that gives up after a week",
        {
            "outlets": [
                {"name": "crm", "webhook": {"url": "https://crm.example/", "secretRef": _SECRET, "retryFor": "168h"}}
            ]
        },
        "spec.outlets[0].webhook.retryFor",
        "must be between 1s and 24h",
    ),
    BadPipeline(
        "an outlet that waits for an answer for an hour",
        {
            "outlets": [
                {"name": "crm", "webhook": {"url": "https://crm.example/", "secretRef": _SECRET, "timeout": "1h"}}
            ]
        },
        "spec.outlets[0].webhook.timeout",
        "must be between 1s and 1m",
    ),
    BadPipeline(
        "workers: min above max",
        {"processing": {"replicas": {"min": 5, "max": 2}}},
        "spec.processing.replicas.min",
        "min must not exceed max",
    ),
    BadPipeline(
        "ingestion: min above max",
        {"ingestion": {"replicas": {"min": 11}}},
        "spec.ingestion.replicas.min",
        "min must not exceed max",
    ),
    BadPipeline(
        "ingestion without replicas",
        {"ingestion": {"replicas": {"min": 0}}},
        "spec.ingestion.replicas.min",
        AT_LEAST_1,
        SERVER_AT_LEAST_1,
    ),
    BadPipeline(
        "negative worker replicas",
        {"processing": {"replicas": {"min": -1}}},
        "spec.processing.replicas.min",
        "less than the minimum of 0",
        "should be greater than or equal to 0",
    ),
    BadPipeline(
        "replicas as text",
        {"processing": {"replicas": {"max": "many"}}},
        "spec.processing.replicas.max",
        'not of type "integer"',
        "must be of type integer",
    ),
    BadPipeline(
        "fractional replicas",
        {"processing": {"replicas": {"max": 1.5}}},
        "spec.processing.replicas.max",
        'not of type "integer"',
        "must be of type integer",
    ),
    BadPipeline(
        "polling without pause",
        {"processing": {"replicas": {"pollingInterval": "0s"}}},
        "spec.processing.replicas.pollingInterval",
        "must be at least 1s",
    ),
    BadPipeline(
        "prefetch too large",
        {"processing": {"prefetch": 100_000}},
        "spec.processing.prefetch",
        "greater than the maximum of 2000",
        "should be less than or equal to 2000",
    ),
    BadPipeline(
        "no concurrency steps",
        {"processing": {"concurrency": {"steps": []}}},
        "spec.processing.concurrency.steps",
        "less than 1 item",
        "should have at least 1 items",
    ),
    BadPipeline(
        "first step not at zero",
        {"processing": {"concurrency": {"steps": [{"depth": 10, "limit": 4}]}}},
        "spec.processing.concurrency.steps",
        "the first step must be at depth 0",
    ),
    BadPipeline(
        "falling thresholds",
        {
            "processing": {
                "concurrency": {
                    "steps": [{"depth": 0, "limit": 32}, {"depth": 9000, "limit": 16}, {"depth": 5000, "limit": 4}]
                }
            }
        },
        "spec.processing.concurrency.steps",
        "depths must rise from step to step",
    ),
    BadPipeline(
        "equal thresholds",
        {
            "processing": {
                "concurrency": {
                    "steps": [{"depth": 0, "limit": 32}, {"depth": 5000, "limit": 16}, {"depth": 5000, "limit": 4}]
                }
            }
        },
        "spec.processing.concurrency.steps",
        "depths must rise from step to step",
    ),
    BadPipeline(
        "too many steps",
        {"processing": {"concurrency": {"steps": [{"depth": depth, "limit": 1} for depth in range(17)]}}},
        "spec.processing.concurrency.steps",
        "more than 16 items",
        "must have at most 16 items",
    ),
    BadPipeline(
        "step without limit",
        {"processing": {"concurrency": {"steps": [{"depth": 0}]}}},
        "spec.processing.concurrency.steps[0].limit",
        "is required",
        "Required value",
    ),
    BadPipeline(
        "step that lets nothing through",
        {"processing": {"concurrency": {"steps": [{"depth": 0, "limit": 0}]}}},
        "spec.processing.concurrency.steps[0].limit",
        AT_LEAST_1,
        SERVER_AT_LEAST_1,
    ),
    BadPipeline(
        "restores above the second step",
        {"processing": {"concurrency": {"restoreBelow": 5001}}},
        "spec.processing.concurrency.restoreBelow",
        "restoreBelow must not exceed the depth of the second step",
    ),
    BadPipeline(
        "depth read too often",
        {"processing": {"concurrency": {"interval": "500ms"}}},
        "spec.processing.concurrency.interval",
        "must be at least 1s",
    ),
    BadPipeline(
        "duration without unit",
        {"processing": {"retries": {"initialDelay": "500"}}},
        "spec.processing.retries.initialDelay",
        "is not a duration",
        "should match",
    ),
    BadPipeline(
        "breaker that never closes",
        {"processing": {"circuitBreaker": {"failureRatio": 0}}},
        "spec.processing.circuitBreaker.failureRatio",
        "less than or equal to the minimum of 0",
        "should be greater than 0",
    ),
    BadPipeline(
        "breaker without window",
        {"processing": {"circuitBreaker": {"window": "0s"}}},
        "spec.processing.circuitBreaker.window",
        "must be at least 1ms",
    ),
    BadPipeline(
        "velocity without window",
        {"processing": {"fraud": {"velocity": {"window": "0m"}}}},
        "spec.processing.fraud.velocity.window",
        "must be at least 1ms",
    ),
    BadPipeline(
        "score of an unknown type",
        {"processing": {"scoring": {"page_vew": 1}}},
        "spec.processing.scoring",
        "scoring names an event type that is neither built in nor in eventTypes",
    ),
    BadPipeline(
        "score out of bounds",
        {"processing": {"scoring": {"page_view": 1_000_001}}},
        "spec.processing.scoring.page_view",
        "greater than the maximum of 1000000",
        "should be less than or equal to 1000000",
    ),
    BadPipeline(
        "requests above limits",
        {"processing": {"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "512Mi"}}}},
        "spec.processing.resources.requests",
        "requests must not exceed limits",
    ),
    BadPipeline(
        "amount that is no quantity",
        {"processing": {"resources": {"limits": {"memory": "512 MB"}}}},
        "spec.processing.resources.limits.memory",
        "is not a quantity",
        "should match",
    ),
    BadPipeline(
        "two ways to the queue",
        {
            "queue": {"connectionSecretRef": _SECRET, "namespace": "example.servicebus.windows.net"},
            "identity": {"clientId": _CLIENT},
        },
        "spec.queue.namespace",
        "exclude each other",
    ),
    BadPipeline(
        "two ways to the store",
        {
            "store": {"connectionSecretRef": _SECRET, "endpoint": "https://example.documents.azure.com:443/"},
            "identity": {"clientId": _CLIENT},
        },
        "spec.store.endpoint",
        "exclude each other",
    ),
    BadPipeline(
        "two places of the archive",
        {"archive": {"directory": "archive", "blob": {"connectionSecretRef": _SECRET}}},
        "spec.archive.blob",
        "exclude each other",
    ),
    BadPipeline(
        "two ways for traces",
        {"telemetry": {"tracing": {"applicationInsightsSecretRef": _SECRET, "endpoint": "http://collector:4318"}}},
        "spec.telemetry.tracing.endpoint",
        "exclude each other",
    ),
    BadPipeline(
        "workload identity without an identity",
        {"queue": {"namespace": "example.servicebus.windows.net"}},
        "spec.identity",
        "need identity.clientId",
    ),
    BadPipeline(
        "identity that is no client id",
        {"identity": {"clientId": _CLIENT[:-1]}},
        "spec.identity.clientId",
        "does not match",
        "should match",
    ),
    BadPipeline(
        "Secret without key",
        {"queue": {"connectionSecretRef": {"name": "secret"}}},
        "spec.queue.connectionSecretRef.key",
        "is required",
        "Required value",
    ),
    BadPipeline(
        "queue name with spaces",
        {"queue": {"name": "my queue"}},
        "spec.queue.name",
        "does not match",
        "should match",
    ),
    BadPipeline(
        "lock too long", {"queue": {"lockDuration": "6m"}}, "spec.queue.lockDuration", "must be between 5s and 5m"
    ),
    BadPipeline("queue too small", {"queue": {"maxSize": "512Mi"}}, "spec.queue.maxSize", "must be at least 1Gi"),
    BadPipeline(
        "messages without events",
        {"queue": {"eventsPerMessage": 0}},
        "spec.queue.eventsPerMessage",
        AT_LEAST_1,
        SERVER_AT_LEAST_1,
    ),
    BadPipeline(
        "throughput between steps",
        {"store": {"throughput": {"autoscaleMax": 4500}}},
        "spec.store.throughput.autoscaleMax",
        "not a multiple of 1000",
        "should be a multiple of 1000",
    ),
    BadPipeline(
        "container with a slash",
        {"store": {"container": "a/b"}},
        "spec.store.container",
        "does not match",
        "should match",
    ),
    BadPipeline(
        "endpoint without scheme",
        {"store": {"endpoint": "example.com"}, "identity": {"clientId": _CLIENT}},
        "spec.store.endpoint",
        "does not match",
        "should match",
    ),
    BadPipeline(
        "proxy that is no network",
        {"ingestion": {"trustedProxies": ["10.0.0.0/8", "1.2.3.4/44"]}},
        "spec.ingestion.trustedProxies[1]",
        "is not a network",
    ),
    BadPipeline(
        "proxy named twice",
        {"ingestion": {"trustedProxies": ["10.0.0.0/8", "10.0.0.0/8"]}},
        "spec.ingestion.trustedProxies[1]",
        "Duplicate value",
    ),
    BadPipeline(
        "unknown answer to duplicates",
        {"ingestion": {"idempotency": {"onDuplicate": "Ignore"}}},
        "spec.ingestion.idempotency.onDuplicate",
        "is not one of",
        "Unsupported value",
    ),
    BadPipeline(
        "window of no length",
        {"ingestion": {"rateLimits": {"global": {"window": "0s"}}}},
        "spec.ingestion.rateLimits.global.window",
        "must be at least 1ms",
    ),
    BadPipeline(
        "window that rounds to no length",
        {"ingestion": {"rateLimits": {"global": {"window": "0.4ms"}}}},
        "spec.ingestion.rateLimits.global.window",
        "must be at least 1ms",
    ),
    BadPipeline(
        "rate of nothing",
        {"ingestion": {"rateLimits": {"perClient": {"perSecond": 0}}}},
        "spec.ingestion.rateLimits.perClient.perSecond",
        "less than or equal to the minimum of 0",
        "should be greater than 0",
    ),
    BadPipeline(
        "built-in event type again",
        {"eventTypes": [{"name": "purchase"}]},
        "spec.eventTypes[0].name",
        "is built in",
    ),
    BadPipeline(
        "schema refers to a file",
        {"eventTypes": [{"name": "refund", "schema": {"$ref": "file:///etc/passwd"}}]},
        "spec.eventTypes[0].schema",
        "nothing outside of the schema is ever read",
        "should match",
    ),
    BadPipeline(
        "schema refers to an address",
        {"eventTypes": [{"name": "refund", "schema": {"$ref": "http://127.0.0.1:8080/healthz"}}]},
        "spec.eventTypes[0].schema",
        "nothing outside of the schema is ever read",
        "should match",
    ),
    BadPipeline(
        "schema has an address",
        {"eventTypes": [{"name": "refund", "schema": {"$id": "http://example.com/base/", "type": "object"}}]},
        "spec.eventTypes[0].schema",
        "needs no address",
        "must not validate the schema (not)",
    ),
    BadPipeline(
        "schema of another draft",
        {"eventTypes": [{"name": "refund", "schema": {"$schema": "http://json-schema.org/draft-04/schema#"}}]},
        "spec.eventTypes[0].schema",
        "leave it out, or write",
        "Unsupported value",
    ),
    BadPipeline(
        "event type twice",
        {"eventTypes": [{"name": "refund"}, {"name": "refund"}]},
        "spec.eventTypes[1]",
        "Duplicate value",
    ),
    BadPipeline(
        "event type in capitals",
        {"eventTypes": [{"name": "Refund"}]},
        "spec.eventTypes[0].name",
        "does not match",
        "should match",
    ),
    BadPipeline(
        "issuer without HTTPS",
        {"access": {"tokens": [{"issuer": "http://login.example.com/", "audiences": ["a"]}]}},
        "spec.access.tokens[0].issuer",
        "must be https://",
    ),
    BadPipeline(
        "issuer whose name begins as that of this machine",
        {"access": {"tokens": [{"issuer": "http://localhost.example.com/", "audiences": ["a"]}]}},
        "spec.access.tokens[0].issuer",
        "must be https://",
    ),
    BadPipeline(
        "issuer with a password",
        {"access": {"tokens": [{"issuer": "https://user:password@login.example.com/", "audiences": ["a"]}]}},
        "spec.access.tokens[0].issuer",
        "does not match",
        "should match",
    ),
    BadPipeline(
        "issuer with a query",
        {"access": {"tokens": [{"issuer": "https://login.example.com/?realm=shop", "audiences": ["a"]}]}},
        "spec.access.tokens[0].issuer",
        "does not match",
        "should match",
    ),
    BadPipeline(
        "issuer twice",
        {"access": {"tokens": [{"issuer": "https://login.example.com", "audiences": [a]} for a in "ab"]}},
        "spec.access.tokens[1]",
        "Duplicate value",
    ),
    BadPipeline(
        "tokens for nobody",
        {"access": {"tokens": [{"issuer": "https://login.example.com", "audiences": []}]}},
        "spec.access.tokens[0].audiences",
        "has less than 1 item",
        "should have at least 1 items",
    ),
    BadPipeline(
        "audience twice",
        {"access": {"tokens": [{"issuer": "https://login.example.com", "audiences": ["a", "a"]}]}},
        "spec.access.tokens[0].audiences[1]",
        "Duplicate value",
    ),
    BadPipeline(
        "claim with a space",
        {"access": {"tokens": [{"issuer": "https://a.example", "audiences": ["a"], "tenantClaim": "tenant id"}]}},
        "spec.access.tokens[0].tenantClaim",
        "does not match",
        "should match",
    ),
    BadPipeline(
        "unknown mode of access",
        {"access": {"mode": "required"}},
        "spec.access.mode",
        "is not one of",
        "Unsupported value",
    ),
    BadPipeline(
        "tokens of no issuer",
        {"access": {"tokens": [{"audiences": ["a"]}]}},
        "spec.access.tokens[0].issuer",
        "is required",
        "Required value",
    ),
    BadPipeline(
        "more issuers than there may be",
        {"access": {"tokens": [{"issuer": f"https://{n}.example", "audiences": ["a"]} for n in range(17)]}},
        "spec.access.tokens",
        "has more than 16 items",
        "must have at most 16 items",
    ),
    BadPipeline(
        "claim beyond ASCII",
        {"access": {"tokens": [{"issuer": "https://a.example", "audiences": ["a"], "scopesClaim": "s\u00fcope"}]}},
        "spec.access.tokens[0].scopesClaim",
        "does not match",
        "should match",
    ),
    BadPipeline(
        "given keys of no Secret",
        {"access": {"keys": {"secretRef": {}}}},
        "spec.access.keys.secretRef.name",
        "is required",
        "Required value",
    ),
    BadPipeline(
        "given keys in a path",
        {"access": {"keys": {"secretRef": {"name": "senders", "key": "a/b"}}}},
        "spec.access.keys.secretRef.key",
        "does not match",
        "should match",
    ),
    BadPipeline(
        "key that may send nothing",
        {"ingestion": {"rateLimits": {"perKey": {"perSecond": 0}}}},
        "spec.ingestion.rateLimits.perKey.perSecond",
        "less than or equal to the minimum of 0",
        "should be greater than 0",
    ),
    BadPipeline(
        "tenant that may send no batch",
        {"ingestion": {"rateLimits": {"perTenant": {"eventsBurst": 999}}}},
        "spec.ingestion.rateLimits.perTenant.eventsBurst",
        "less than the minimum of 1000",
        "should be greater than or equal to 1000",
    ),
    BadPipeline(
        "page origin with HTTP's own port",
        {"access": {"browser": {"origins": ["http://shop.example:80"]}}},
        "spec.access.browser.origins[0]",
        "must be an origin as browsers send it",
    ),
    BadPipeline(
        "page origin with a password",
        {"access": {"browser": {"origins": ["https://user@shop.example"]}}},
        "spec.access.browser.origins[0]",
        "must be an origin as browsers send it",
    ),
    BadPipeline(
        "page origin of another scheme",
        {"access": {"browser": {"origins": ["file://shop.example"]}}},
        "spec.access.browser.origins[0]",
        "must be an origin as browsers send it",
    ),
    BadPipeline(
        "page origin with a path",
        {"access": {"browser": {"origins": ["https://shop.example/"]}}},
        "spec.access.browser.origins[0]",
        "must be an origin as browsers send it",
    ),
    BadPipeline(
        "page origin with a star",
        {"access": {"browser": {"origins": ["https://*.shop.example"]}}},
        "spec.access.browser.origins[0]",
        "must be an origin as browsers send it",
    ),
    BadPipeline(
        "any page",
        {"access": {"browser": {"origins": ["*"]}}},
        "spec.access.browser.origins[0]",
        "must be an origin as browsers send it",
    ),
    BadPipeline(
        "page without scheme",
        {"access": {"browser": {"origins": ["shop.example"]}}},
        "spec.access.browser.origins[0]",
        "must be an origin as browsers send it",
    ),
    BadPipeline(
        "page origin in capitals",
        {"access": {"browser": {"origins": ["https://Shop.example"]}}},
        "spec.access.browser.origins[0]",
        "must be an origin as browsers send it",
    ),
    BadPipeline(
        "page origin with the scheme's own port",
        {"access": {"browser": {"origins": ["https://shop.example:443"]}}},
        "spec.access.browser.origins[0]",
        "must be an origin as browsers send it",
    ),
    BadPipeline(
        "page of no origin",
        {"access": {"browser": {"origins": ["null"]}}},
        "spec.access.browser.origins[0]",
        "must be an origin as browsers send it",
    ),
    BadPipeline(
        "page origin twice",
        {"access": {"browser": {"origins": ["https://shop.example", "https://shop.example"]}}},
        "spec.access.browser.origins[1]",
        "Duplicate value",
    ),
    BadPipeline("unknown deletion", {"deletion": "Now"}, "spec.deletion", "is not one of", "Unsupported value"),
    BadPipeline("no time to drain", {"drainDeadline": "0s"}, "spec.drainDeadline", "must be at least 1ms"),
    BadPipeline(
        "pinned to no label", {"placement": {"pinTo": "=x"}}, "spec.placement.pinTo", "does not match", "should match"
    ),
    BadPipeline(
        "Ingress without host", {"expose": {"ingress": {}}}, "spec.expose.ingress.host", "is required", "Required value"
    ),
    BadPipeline(
        "unknown log level",
        {"telemetry": {"logLevel": "loud"}},
        "spec.telemetry.logLevel",
        "is not one of",
        "Unsupported value",
    ),
    BadPipeline(
        "issuer in the clear",
        {"dashboard": {"signIn": SIGN_IN | {"issuer": "http://login.example.com"}}},
        "spec.dashboard.signIn.issuer",
        "must be https://",
    ),
    BadPipeline(
        "tenants of a role twice",
        {
            "dashboard": {
                "signIn": SIGN_IN
                | {"roles": [{"value": "a", "role": "viewer", "tenants": ["contoso"], "tenantsClaim": "tenant"}]}
            }
        },
        "spec.dashboard.signIn.roles[0].tenantsClaim",
        "tenants and tenantsClaim exclude each other",
    ),
    BadPipeline("paused as text", {"paused": "yes"}, "spec.paused", 'not of type "boolean"', "must be of type boolean"),
    BadPipeline(
        "name too long for a Service",
        {},
        "metadata.name",
        "longer than 40 characters",
        "metadata.name must have at most 40 characters",
        name="a" * 41,
    ),
]
