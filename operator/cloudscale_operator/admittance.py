"""Whom a pipeline admits whose resource does not say it.

A new pipeline admits its own namespace and those that are known to need it. One that an earlier version made admitted
everybody, and so goes on: its clients must not be shut out by an upgrade.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cloudscale.pipeline.network import EVERY_ADDRESS, EVERY_NAMESPACE, NetworkPolicy
from cloudscale_operator.children import ChildKey
from cloudscale_operator.kinds import NETWORK_POLICY
from cloudscale_operator.manifests.network import EVERYBODY
from cloudscale_operator.names import INGESTION, object_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.kinds import Manifest
    from cloudscale_operator.reporting import Reporter


async def resolve_admittance(
    pipeline: EventPipeline, body: Manifest, live: Mapping[ChildKey, Manifest], reporter: Reporter
) -> EventPipeline:
    """The pipeline with the namespaces that it admits, with a warning Event if those are all since an earlier version.

    Args:
        pipeline: as its resource says it.
        body: the resource.
        live: the objects that were made for it.
        reporter: records the Event.
    """
    if not is_unsaid(pipeline):
        return pipeline
    if is_of_an_earlier_version(pipeline, live):
        text = (
            "every namespace and address may go on reaching ingestion and dashboard, as an earlier version let them: "
        )
        text += "name those that need it in spec.networkPolicy.ingressNamespaces, an empty list if none does"
        await reporter.record_event(body, "Warning", "NetworkOpen", text)
    return with_admittance(pipeline, live)


def with_admittance(pipeline: EventPipeline, live: Mapping[ChildKey, Manifest]) -> EventPipeline:
    """The pipeline with the namespaces that it admits; ``live`` has the objects that were made for it."""
    if not is_unsaid(pipeline) or _peers_in_place(pipeline, live) not in (None, EVERYBODY):
        return pipeline
    policy = pipeline.spec.network_policy
    readers = policy.monitoring_namespaces
    policy = msgspec.structs.replace(
        policy,
        ingress_namespaces=(EVERY_NAMESPACE,),
        ingress_networks=EVERY_ADDRESS,
        monitoring_namespaces=(EVERY_NAMESPACE,) if readers == NetworkPolicy().monitoring_namespaces else readers,
    )
    return msgspec.structs.replace(pipeline, spec=msgspec.structs.replace(pipeline.spec, network_policy=policy))


def is_unsaid(pipeline: EventPipeline) -> bool:
    """Whether the resource leaves it open whom the pipeline admits."""
    policy = pipeline.spec.network_policy
    return policy.ingress_namespaces is None and not policy.ingress_networks


def is_of_an_earlier_version(pipeline: EventPipeline, live: Mapping[ChildKey, Manifest]) -> bool:
    """Whether the policy in place is one without peers, which only earlier versions made."""
    return _peers_in_place(pipeline, live) is None


def _peers_in_place(pipeline: EventPipeline, live: Mapping[ChildKey, Manifest]) -> list[Manifest] | None:
    """Whom the policy in place admits to ingestion: nobody without a policy, None for one that names no peers."""
    policy = live.get(ChildKey(NETWORK_POLICY.kind, object_name(pipeline.metadata.name, INGESTION)), {})
    rules = policy.get("spec", {}).get("ingress", [])
    peers: list[Manifest] | None = rules[0].get("from") if rules else []
    return peers
