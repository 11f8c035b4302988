"""What the objects that are there were made with, for a pipeline whose Secrets nobody can read or remember any more.

A new operator that finds the Secrets gone must not replace pods by others that could not start, nor close the ports
that they use: it goes on with what stands in the objects.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cloudscale_operator.children import ChildKey
from cloudscale_operator.kinds import DEPLOYMENT, NETWORK_POLICY, SCALED_OBJECT
from cloudscale_operator.manifests.network import BACKENDS, DNS_PORT
from cloudscale_operator.names import CREDENTIALS_HASH, OUTLETS, OUTLETS_HASH, WORKER, object_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudscale_operator.context import Context
    from cloudscale_operator.kinds import Manifest


def inherit(context: Context, live: Mapping[ChildKey, Manifest], pipeline: str) -> Context:
    """The context with the digests, ports and authority of the objects in place, where there are any."""
    worker = live.get(ChildKey(DEPLOYMENT.kind, object_name(pipeline, WORKER)))
    sending = live.get(ChildKey(DEPLOYMENT.kind, object_name(pipeline, OUTLETS)))
    scaled = live.get(ChildKey(SCALED_OBJECT.kind, object_name(pipeline, WORKER)))
    policy = live.get(ChildKey(NETWORK_POLICY.kind, object_name(pipeline, BACKENDS)))
    if worker:
        template = worker["spec"]["template"]
        digest = template["metadata"].get("annotations", {}).get(CREDENTIALS_HASH, context.credentials_hash)
        volumes = {volume["name"]: volume for volume in template["spec"].get("volumes", ())}
        authority = volumes.get("authority", {}).get("secret", {}).get("secretName", "")
        context = replace(context, credentials_hash=digest, authority_secret=authority)
    if sending:
        annotations = sending["spec"]["template"]["metadata"].get("annotations", {})
        context = replace(context, outlets_hash=annotations.get(OUTLETS_HASH, context.outlets_hash))
    if scaled:
        names = [trigger.get("name", "") for trigger in scaled["spec"]["triggers"]]
        context = replace(context, broker_hash=names[0].rpartition("-")[2])
    if policy:
        ports = {port["port"] for rule in policy["spec"].get("egress", ()) for port in rule.get("ports", ())}
        context = replace(context, backend_ports=context.backend_ports | ports - {DNS_PORT})
    return context
