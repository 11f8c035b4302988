"""The whole resource: its specification, the metadata that CloudScale reads, and its names in the Kubernetes API."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from cloudscale.pipeline.access import Access
from cloudscale.pipeline.archive import ONE_PLACE_OF_THE_ARCHIVE, Archive
from cloudscale.pipeline.backends import Cache, Queue, Store
from cloudscale.pipeline.event_types import BUILT_IN_EVENT_TYPES, EventType
from cloudscale.pipeline.fields import Model, PositiveDuration
from cloudscale.pipeline.ingestion import Ingestion
from cloudscale.pipeline.network import NetworkPolicy
from cloudscale.pipeline.outlets import MOST_OUTLETS, Outlet
from cloudscale.pipeline.placement import Identity, Placement
from cloudscale.pipeline.processing import Processing
from cloudscale.pipeline.roles import Role
from cloudscale.pipeline.rules import Rule, excludes, rules
from cloudscale.pipeline.surface import Dashboard, Expose, Telemetry

GROUP = "cloudscale.io"
VERSION = "v1alpha1"
KIND = "EventPipeline"
PLURAL = "eventpipelines"
SHORT_NAME = "evp"
MAX_NAME_LENGTH = 40
"""Longest name of a pipeline: with ``keda-hpa-`` before it and ``-ingestion`` after it, 63 characters hold it."""


def _scores_known_types(spec: dict[str, Any]) -> bool:
    known = {*BUILT_IN_EVENT_TYPES, *(event_type["name"] for event_type in spec["eventTypes"])}
    return known.issuperset(spec["processing"]["scoring"])


ROLES: tuple[Role, ...] = tuple(role for role in get_args(Role) if role != "follower")
"""Those that every pipeline has."""


def _names_an_identity(spec: dict[str, Any]) -> bool:
    needed = "namespace" in spec["queue"] or "endpoint" in spec["store"]
    identity = spec["identity"]
    follows = "blob" in (spec.get("archive") or {}) or spec["outlets"]
    roles = {*ROLES, *(["follower"] if follows else [])}
    return not needed or "clientId" in identity or roles <= set(identity["roleClientIds"])


ONE_WAY_TO_THE_QUEUE = excludes("connectionSecretRef", "namespace")
ONE_WAY_TO_THE_STORE = excludes("connectionSecretRef", "endpoint")
SCORES_KNOWN_TYPES = Rule(
    f"self.processing.scoring.all(type, type in {list(BUILT_IN_EVENT_TYPES)} || "
    "self.eventTypes.exists(known, known.name == type))",
    "scoring names an event type that is neither built in nor in eventTypes",
    _scores_known_types,
    field="processing.scoring",
)
NAMES_AN_IDENTITY = Rule(
    "!(has(self.queue.namespace) || has(self.store.endpoint)) || has(self.identity.clientId) || ("
    + " && ".join(f"has(self.identity.roleClientIds.{role})" for role in ROLES)
    + " && (((!has(self.archive) || !has(self.archive.blob)) && self.outlets.size() == 0)"
    " || has(self.identity.roleClientIds.follower)))",
    "queue.namespace and store.endpoint need identity.clientId: the managed identity to reach them with",
    _names_an_identity,
    field="identity",
)


class PipelineSpec(Model, frozen=True):
    """What the pipeline should be."""

    paused: Annotated[bool, Meta(description="Stop workers; ingestion goes on and the queue keeps the events.")] = False
    queue: Annotated[
        Queue,
        Meta(
            description="The Service Bus queue between ingestion and workers.",
            extra_json_schema=rules(ONE_WAY_TO_THE_QUEUE),
        ),
    ] = Queue()
    store: Annotated[
        Store,
        Meta(
            description="The Cosmos DB database that keeps events, profiles and alerts.",
            extra_json_schema=rules(ONE_WAY_TO_THE_STORE),
        ),
    ] = Store()
    cache: Annotated[
        Cache,
        Meta(description="The Redis that keeps rate limits, idempotency records, velocity windows and live figures."),
    ] = Cache()
    identity: Annotated[
        Identity,
        Meta(description="The Azure identity of the pods, for backends that are reached without a connection string."),
    ] = Identity()
    access: Annotated[Access, Meta(description="Who may send events.")] = Access()
    event_types: Annotated[
        tuple[EventType, ...],
        Meta(
            description="Types of event besides page_view, user_action and purchase.",
            max_length=100,
            extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
    ingestion: Annotated[
        Ingestion, Meta(description="The HTTP side: checks, limits, deduplicates and hands events to the queue.")
    ] = Ingestion()
    processing: Annotated[Processing, Meta(description="The workers: fraud check, score, write, act.")] = Processing()
    archive: Annotated[
        Archive | None,
        Meta(
            description="Every stored event in Parquet files too, for as long as they are kept; none unless it is "
            "given. On Kubernetes it is in Blob storage; a pipeline with one in a directory is refused there.",
            extra_json_schema=rules(ONE_PLACE_OF_THE_ARCHIVE),
        ),
    ] = None
    outlets: Annotated[
        tuple[Outlet, ...],
        Meta(
            description="Who is sent the stored events, at least once and in the order of each partition, each from "
            "its own place.",
            max_length=MOST_OUTLETS,
            extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
    dashboard: Annotated[Dashboard, Meta(description="The web page that shows the pipeline at work.")] = Dashboard()
    expose: Annotated[
        Expose,
        Meta(
            description="How /api and its description in /docs are reached from outside of the cluster; a Service "
            "inside of it is always there."
        ),
    ] = Expose()
    network_policy: Annotated[
        NetworkPolicy,
        Meta(
            description="Who may connect to the pipeline's pods, beside pods of its own namespace. A pipeline that was "
            "made when everybody might goes on so until this says otherwise."
        ),
    ] = NetworkPolicy()
    telemetry: Annotated[Telemetry, Meta(description="Metrics, traces and logs.")] = Telemetry()
    placement: Annotated[Placement, Meta(description="Where the pipeline's pods may run.")] = Placement()
    deletion: Annotated[
        Literal["Drain", "Immediate"],
        Meta(description="Drain stops intake, empties the queue, then goes; Immediate goes at once."),
    ] = "Drain"
    drain_deadline: Annotated[
        PositiveDuration, Meta(description="How long a deletion waits for the queue to empty.")
    ] = "10m"


class Metadata(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The part of an object's metadata that CloudScale reads; everything else is the API server's."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME_LENGTH, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")]
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class EventPipeline(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An event pipeline: HTTP in, fraud-checked documents in Cosmos DB out."""

    api_version: Literal["cloudscale.io/v1alpha1"]
    kind: Literal["EventPipeline"]
    metadata: Metadata
    spec: Annotated[
        PipelineSpec,
        Meta(
            description="What the pipeline should be.", extra_json_schema=rules(SCORES_KNOWN_TYPES, NAMES_AN_IDENTITY)
        ),
    ] = msgspec.field(default_factory=PipelineSpec)
