"""Brings the objects of a pipeline to what they should be, and says which of them the API server did not take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cloudscale_operator.api import CONFLICT, ApiRefusalError
from cloudscale_operator.children import changes, child_key, is_foreign
from cloudscale_operator.kinds import DEPLOYMENT, Manifest, kind_of
from cloudscale_operator.names import OPERATOR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudscale_operator.api import KubernetesApi
    from cloudscale_operator.children import ChildKey, Children, PipelineKey

KEEPER = f"{OPERATOR}-replicas"
"""Field manager that holds a number of replicas between the operator, which gives it up, and an autoscaler."""


@dataclass(frozen=True)
class Refusal:
    """Why one object is not as it should be."""

    reason: Literal["ApplyRefused", "NameTaken"]
    message: str


async def apply_all(
    api: KubernetesApi, children: Children, key: PipelineKey, *, desired: list[Manifest], owner: str
) -> list[Refusal]:
    """Delete and apply what differs. ``owner`` is the pipeline's uid.

    Raises:
        ApiRefusalError, BackendUnavailableError: something could not be deleted, or the API server does not answer.
    """
    live = children.of(key)
    todo = changes(desired, live, owner=owner)
    for child in todo.delete:
        await api.delete(child)
    refusals = []
    for manifest in todo.apply:
        try:
            applied = await _apply(api, live, manifest, owner=owner)
        except ApiRefusalError as error:
            refusals.append(Refusal("ApplyRefused", str(error)))
            continue
        if applied is None:
            kind, name = child_key(manifest)
            text = f"the {kind} {name} is there and does not belong to this pipeline, which needs one of that name: "
            refusals.append(Refusal("NameTaken", text + "delete or rename it, or give the pipeline another name"))
        else:
            children.observe(applied)
    return refusals


async def _apply(
    api: KubernetesApi, live: Mapping[ChildKey, Manifest], manifest: Manifest, *, owner: str
) -> Manifest | None:
    """The object as it is now, None if it belongs to somebody else."""
    found = live.get(child_key(manifest))
    if found is None:
        try:
            return await api.apply(manifest, only_new=True)
        except ApiRefusalError as error:
            if error.status != CONFLICT:
                raise
        metadata = manifest["metadata"]
        found = await api.read(kind_of(manifest).path(metadata["namespace"], metadata["name"]))
        if found is None:
            return await api.apply(manifest, only_new=True)
    if is_foreign(found, manifest, owner=owner):
        return None
    await _keep_replicas(api, manifest, found)
    return await api.apply(manifest)


async def _keep_replicas(api: KubernetesApi, manifest: Manifest, found: Manifest) -> None:
    """Hand over a number of replicas before the manifest gives it up.

    A field that its last manager gives up gets its default, which is one replica. An autoscaler that comes to own the
    field takes it from the keeper.
    """
    replicas = found.get("spec", {}).get("replicas", 1)
    if kind_of(manifest) != DEPLOYMENT or "replicas" in manifest["spec"] or replicas == 1:
        return
    metadata = manifest["metadata"]
    current = await api.read(DEPLOYMENT.path(metadata["namespace"], metadata["name"]))
    if current is None or not _owns_replicas(current):
        return
    kept = {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "metadata": {"namespace": metadata["namespace"], "name": metadata["name"]},
        "spec": {"replicas": current["spec"]["replicas"]},
    }
    await api.apply(kept, manager=KEEPER)


def _owns_replicas(deployment: Manifest) -> bool:
    return any(
        entry.get("manager") == OPERATOR
        and entry.get("operation") == "Apply"
        and "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})
        for entry in deployment["metadata"].get("managedFields", ())
    )
