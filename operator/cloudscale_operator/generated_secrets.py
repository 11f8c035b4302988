"""The Secrets that the operator makes: a pipeline's first key, and a token for its dashboard.

Each is made once and never written again, so whoever replaces one keeps what they wrote, and whoever deletes one gets
another. The operator may create Secrets and read those whose names it knows; it can neither list nor change them.
"""

from __future__ import annotations

import base64
import json
import math
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudscale.access import api_key
from cloudscale_operator.api import CONFLICT, ApiRefusalError
from cloudscale_operator.applying import Refusal
from cloudscale_operator.children import ChildKey
from cloudscale_operator.kinds import DEPLOYMENT, SECRET, Manifest
from cloudscale_operator.manifests.dashboard import TOKEN_VARIABLE
from cloudscale_operator.names import ACCESS, DASHBOARD, FIRST_KEY, GIVEN_KEYS, TOKEN, common_labels, object_name
from cloudscale_operator.owners import owner_reference

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.api import KubernetesApi
    from cloudscale_operator.reporting import Reporter
    from cloudscale_operator.timing import Timing

AGE_SECONDS = 30.0
"""How late it is noticed that one was deleted."""
TENANT = "cloudscale"
"""The tenant of the first key, which sends nothing."""


@dataclass(frozen=True)
class Outcome:
    """Which Secrets were made now, by name, and which could not be."""

    made: tuple[str, ...]
    refusals: tuple[Refusal, ...]


def wanted_secrets(pipeline: EventPipeline, *, now: datetime) -> list[Manifest]:
    """The Secrets that the pipeline needs and its resource does not name, each time with other contents."""
    dashboard = pipeline.spec.dashboard
    wanted = []
    if pipeline.spec.access.mode == "Required":
        wanted.append(_secret(pipeline, ACCESS, first_key(now=now)))
    if dashboard.enabled and dashboard.token_secret_ref is None and dashboard.sign_in is None:
        wanted.append(_secret(pipeline, DASHBOARD, {TOKEN: f"cs-{secrets.token_hex(16)}"}))
    return wanted


def first_key(*, now: datetime) -> dict[str, str]:
    """A new key that may administer the pipeline, and the file that gives it to the services without its secret."""
    key = api_key.generate()
    entry = {
        "id": key.id,
        "tenantId": TENANT,
        "name": "first key",
        "digest": api_key.digest_of(key.secret),
        "scopes": ["admin"],
        "createdAt": now.isoformat(timespec="seconds"),
    }
    return {FIRST_KEY: key.text, GIVEN_KEYS: json.dumps([entry], indent=2) + "\n"}


class GeneratedSecrets:
    """Those of one pipeline, looked for when it is not known for long that they are there."""

    def __init__(self, *, timing: Timing) -> None:
        self._timing = timing
        self._seen_at: dict[str, float] = {}

    async def ensure(self, api: KubernetesApi, pipeline: EventPipeline) -> Outcome:
        """Make what is not there.

        Raises:
            ApiRefusalError, BackendUnavailableError: the API server lets nobody look, or does not answer.
        """
        made, refusals = [], []
        for secret in wanted_secrets(pipeline, now=self._timing.now()):
            name, now = secret["metadata"]["name"], self._timing.monotonic()
            if now - self._seen_at.get(name, -math.inf) < AGE_SECONDS:
                continue
            found = await api.read(SECRET.path(pipeline.metadata.namespace, name))
            if found is None:
                refusal = await _create(api, pipeline, secret)
                if refusal is None:
                    made.append(name)
            else:
                refusal = _lack(found, secret)
            if refusal is not None:
                refusals.append(refusal)
            elif found is None or not _is_leaving(found, pipeline):
                self._seen_at[name] = now
        return Outcome(tuple(made), tuple(refusals))


async def announce(
    outcome: Outcome, pipeline: EventPipeline, body: Manifest, live: Mapping[ChildKey, Manifest], reporter: Reporter
) -> None:
    """Record an Event for each Secret that was made: how it is read, and whether a dashboard was open until now.

    Args:
        outcome: what was made.
        pipeline: whose Secrets they are.
        body: its resource.
        live: the objects that were there before.
        reporter: records the Events.
    """
    name = pipeline.metadata.name
    for secret in outcome.made:
        is_key = secret == object_name(name, ACCESS)
        what, key = ("the first key", FIRST_KEY) if is_key else ("a token for the dashboard", TOKEN)
        how = f"kubectl get secret {secret} -o jsonpath='{{.data.{key}}}' | base64 -d"
        if not is_key and is_open(live.get(ChildKey(DEPLOYMENT.kind, object_name(name, DASHBOARD)))):
            text = "the dashboard was open to whoever reached it, and asks for a token from now on; read it with "
            await reporter.record_event(body, "Warning", "DashboardClosed", text + how)
        else:
            await reporter.record_event(body, "Normal", "SecretCreated", f"made {what}; read it with {how}")


def is_open(dashboard: Manifest | None) -> bool:
    """Whether a Deployment is that of a dashboard that asks nobody for anything, as earlier versions made it."""
    if dashboard is None:
        return False
    containers = dashboard["spec"]["template"]["spec"]["containers"]
    return not any(
        variable["name"] == TOKEN_VARIABLE for container in containers for variable in container.get("env", ())
    )


async def _create(api: KubernetesApi, pipeline: EventPipeline, secret: Manifest) -> Refusal | None:
    try:
        await api.create(SECRET.path(pipeline.metadata.namespace), secret)
    except ApiRefusalError as error:
        if error.status != CONFLICT:
            return Refusal("ApplyRefused", str(error))
    return None


def _is_leaving(found: Manifest, pipeline: EventPipeline) -> bool:
    """Whether a Secret is an earlier pipeline's of this name, with which the garbage collector takes it away."""
    owners = {reference["uid"] for reference in found["metadata"].get("ownerReferences", ())}
    return bool(owners) and pipeline.metadata.uid not in owners


def _lack(found: Manifest, secret: Manifest) -> Refusal | None:
    """What is wrong with a Secret of this name that somebody else has made."""
    missing = sorted(secret["data"].keys() - found.get("data", {}).keys())
    if not missing or missing == [FIRST_KEY]:
        return None
    text = f"the Secret {secret['metadata']['name']} is there without {' and '.join(missing)}, which this pipeline "
    return Refusal("NameTaken", text + "needs in it: delete it, and it is made anew, or give the pipeline another name")


def _secret(pipeline: EventPipeline, part: str, content: dict[str, str]) -> Manifest:
    name = pipeline.metadata.name
    return {
        "apiVersion": SECRET.api_version,
        "kind": SECRET.kind,
        "metadata": {
            "name": object_name(name, part),
            "labels": common_labels(name),
            "ownerReferences": [owner_reference(pipeline)],
        },
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in content.items()},
    }
