"""The objects of every pipeline as the watches last showed them, and what has to change about them.

Keeping them spares the API server: a reconcile that finds everything in its place makes no request at all.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from kubernetes.utils import parse_quantity

from cloudscale_operator.kinds import without_managed_fields
from cloudscale_operator.names import MANAGED_BY_LABEL, MANIFEST_HASH, PIPELINE_LABEL, PIPELINE_UID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

    from cloudscale_operator.kinds import Manifest


AMOUNTS = ("requests", "limits")
"""Fields that hold quantities, which the API server writes in its own way: ``1000m`` becomes ``1``."""


class PipelineKey(NamedTuple):
    """Namespace and name of a pipeline."""

    namespace: str
    name: str


class ChildKey(NamedTuple):
    """Kind and name of an object in its pipeline's namespace."""

    kind: str
    name: str


@dataclass(frozen=True)
class Changes:
    """What is to be done; deletions come first, for two autoscalers may not hold one Deployment."""

    delete: list[Manifest]
    apply: list[Manifest]


class Children:
    """The live objects, by pipeline."""

    def __init__(self) -> None:
        self._live: dict[PipelineKey, dict[ChildKey, Manifest]] = defaultdict(dict)
        self._applied: dict[PipelineKey, dict[ChildKey, int]] = defaultdict(dict)

    def observe(self, child: Manifest, *, deleted: bool = False) -> PipelineKey | None:
        """Take note of an object; the key of its pipeline, None if it names none."""
        metadata = child["metadata"]
        name = metadata.get("labels", {}).get(PIPELINE_LABEL)
        if name is None:
            return None
        key, which = PipelineKey(metadata["namespace"], name), child_key(child)
        if deleted:
            self._live[key].pop(which, None)
            self._applied[key].pop(which, None)
            return key
        former = self._live[key].get(which)
        if former is None or _manifest_hash(former) != _manifest_hash(child):
            self._applied[key][which] = metadata.get("generation", 0)
        self._live[key][which] = without_managed_fields(child)
        return key

    def of(self, key: PipelineKey) -> Mapping[ChildKey, Manifest]:
        """The live objects of one pipeline."""
        return self._live.get(key, {})

    def applied(self, key: PipelineKey) -> Mapping[ChildKey, int]:
        """The generation of each object of a pipeline in which its manifest changed last, as far as it was seen."""
        return self._applied.get(key, {})

    def of_kind(self, kind: str) -> dict[tuple[str, str], Manifest]:
        """The live objects of one kind, by namespace and name."""
        return {
            (key.namespace, child.name): manifest
            for key, live in self._live.items()
            for child, manifest in live.items()
            if child.kind == kind
        }

    def forget(self, key: PipelineKey) -> None:
        """The pipeline is gone."""
        self._live.pop(key, None)
        self._applied.pop(key, None)


def _manifest_hash(child: Manifest) -> str | None:
    digest: str | None = child["metadata"].get("annotations", {}).get(MANIFEST_HASH)
    return digest


def child_key(manifest: Manifest) -> ChildKey:
    """Kind and name of a manifest."""
    return ChildKey(manifest["kind"], manifest["metadata"]["name"])


def changes(desired: Iterable[Manifest], live: Mapping[ChildKey, Manifest], *, owner: str) -> Changes:
    """Compare what should be with what is.

    An object is applied when it is absent or lacks anything that its manifest says. The manifest's hash is one of these
    things, so a manifest that gives up a field is applied, too. An object is deleted when its owner, by uid, is this
    pipeline and it is not desired.
    """
    wanted = {child_key(manifest): manifest for manifest in desired}
    return Changes(
        delete=[
            child
            for key, child in live.items()
            if key not in wanted and is_owned(child, owner) and "deletionTimestamp" not in child["metadata"]
        ],
        apply=[
            manifest for key, manifest in wanted.items() if key not in live or not is_contained(manifest, live[key])
        ],
    )


def is_contained(part: Any, whole: Any) -> bool:
    """Whether all that ``part`` says holds in ``whole``, which may say more: defaults, status, others' fields."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            (_amounts(value) <= _amounts(whole[key]) if key in AMOUNTS else is_contained(value, whole[key]))
            if key in whole
            # The API server leaves out what is empty.
            else value in ({}, [], "")
            for key, value in part.items()
        )
    if isinstance(part, list):
        if not isinstance(whole, list):
            return False
        if all(isinstance(item, dict) and "name" in item for item in (*part, *whole)):
            named = {item["name"]: item for item in whole}
            return all(item["name"] in named and is_contained(item, named[item["name"]]) for item in part)
        return len(part) == len(whole) and all(map(is_contained, part, whole))
    return bool(part == whole)


def _amounts(quantities: Mapping[str, str]) -> set[tuple[str, Decimal]]:
    return {
        (resource, parse_quantity(quantity))  # type: ignore[no-untyped-call]
        for resource, quantity in quantities.items()
    }


def is_owned(child: Manifest, owner: str) -> bool:
    """Whether an object belongs to the pipeline with this uid."""
    references = child["metadata"].get("ownerReferences", ())
    return is_annotated(child, owner) or any(reference["uid"] == owner for reference in references)


def is_annotated(child: Manifest, owner: str) -> bool:
    """Whether it does so although it has no owner reference, as during a deletion."""
    return bool(child["metadata"].get("annotations", {}).get(PIPELINE_UID) == owner)


def is_foreign(found: Manifest, manifest: Manifest, *, owner: str) -> bool:
    """Whether an object that has a manifest's name was made by somebody else, and so must not be touched.

    What the operator made for an earlier pipeline of the same name, and what ``--cascade=orphan`` left, is not foreign.
    """
    labels = found["metadata"].get("labels", {})
    wanted = manifest["metadata"]["labels"]
    made_here = MANIFEST_HASH in found["metadata"].get("annotations", {}) and all(
        labels.get(label) == wanted[label] for label in (MANAGED_BY_LABEL, PIPELINE_LABEL)
    )
    return not made_here and not is_owned(found, owner)
