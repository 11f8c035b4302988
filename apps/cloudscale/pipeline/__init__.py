"""The EventPipeline resource as typed models: the one source of its schema, of its defaults and of its validation.

The operator, the apps and the local runtime all read a resource through :func:`load` or :func:`load_file`;
``cloudscale.pipeline.crd`` turns the same models into the CustomResourceDefinition. A description in a model is what
``kubectl explain`` prints, and a :class:`Rule` in a model is what the API server enforces at admission and what
:func:`load` enforces in Python where there is no API server.
"""

from cloudscale.pipeline.access import Access, TokenIssuer
from cloudscale.pipeline.backends import Cache, Queue, Store, Throughput
from cloudscale.pipeline.browser import Browser
from cloudscale.pipeline.event_types import BUILT_IN_EVENT_TYPES, INTERNAL_EVENT_TYPES, EventType
from cloudscale.pipeline.fields import Model, Resources, SecretKey
from cloudscale.pipeline.ingestion import (
    ClientLimits,
    GlobalLimits,
    Idempotency,
    Ingestion,
    KeyLimits,
    RateLimits,
    ReplicaRange,
    Shedding,
    TenantLimits,
)
from cloudscale.pipeline.loading import as_document, load, load_file
from cloudscale.pipeline.network import NetworkPolicy
from cloudscale.pipeline.placement import Identity, Placement
from cloudscale.pipeline.processing import (
    Actions,
    CartAbandonment,
    CircuitBreaker,
    Concurrency,
    ConcurrencyStep,
    Fraud,
    Processing,
    Retries,
    Velocity,
    WorkerReplicas,
)
from cloudscale.pipeline.roles import IdentityRoles, QueueRoles, Role, StoreRoles
from cloudscale.pipeline.rules import RULES_KEYWORD, Rule
from cloudscale.pipeline.schema import Schema, pipeline_schema
from cloudscale.pipeline.sign_in import RoleRule, SignIn
from cloudscale.pipeline.spec import (
    GROUP,
    KIND,
    MAX_NAME_LENGTH,
    PLURAL,
    SHORT_NAME,
    VERSION,
    EventPipeline,
    Metadata,
    PipelineSpec,
)
from cloudscale.pipeline.surface import Dashboard, Expose, Gateway, Ingress, Telemetry, Tracing

__all__ = [
    "BUILT_IN_EVENT_TYPES",
    "GROUP",
    "INTERNAL_EVENT_TYPES",
    "KIND",
    "MAX_NAME_LENGTH",
    "PLURAL",
    "RULES_KEYWORD",
    "SHORT_NAME",
    "VERSION",
    "Access",
    "Actions",
    "Browser",
    "Cache",
    "CartAbandonment",
    "CircuitBreaker",
    "ClientLimits",
    "Concurrency",
    "ConcurrencyStep",
    "Dashboard",
    "EventPipeline",
    "EventType",
    "Expose",
    "Fraud",
    "Gateway",
    "GlobalLimits",
    "Idempotency",
    "Identity",
    "IdentityRoles",
    "Ingestion",
    "Ingress",
    "KeyLimits",
    "Metadata",
    "Model",
    "NetworkPolicy",
    "PipelineSpec",
    "Placement",
    "Processing",
    "Queue",
    "QueueRoles",
    "RateLimits",
    "ReplicaRange",
    "Resources",
    "Retries",
    "Role",
    "RoleRule",
    "Rule",
    "Schema",
    "SecretKey",
    "Shedding",
    "SignIn",
    "Store",
    "StoreRoles",
    "Telemetry",
    "TenantLimits",
    "Throughput",
    "TokenIssuer",
    "Tracing",
    "Velocity",
    "WorkerReplicas",
    "as_document",
    "load",
    "load_file",
    "pipeline_schema",
]
