"""Finds what the watches have missed by listing everything at intervals.

A watch that is interrupted for longer than the API server keeps changes starts again with the existing objects. It does
not report deletions in between.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import structlog

from cloudscale.errors import CloudScaleError
from cloudscale_operator.kinds import EVENT_PIPELINE, KINDS, Kind, Manifest
from cloudscale_operator.names import MANAGED_BY_LABEL, OPERATOR

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cloudscale_operator.api import KubernetesApi

log = structlog.get_logger(__name__)

Key = TypeVar("Key")


class Observer(Protocol):
    """Keeps the objects that the watches show."""

    def known(self, kind: Kind) -> Mapping[tuple[str, str], Manifest]:
        """The live objects of a kind, by namespace and name."""

    def changed(self, kind: Kind, body: Mapping[str, Any], *, deleted: bool) -> None:
        """Handle an object as if a watch had reported it."""


async def relist(api: KubernetesApi, observer: Observer, *, namespaces: Sequence[str]) -> None:
    """List each kind once, in some namespaces or in all, and report to the observer what it does not know yet."""
    places: Sequence[str | None] = namespaces or (None,)
    for kind in (EVENT_PIPELINE, *KINDS):
        before = observer.known(kind)
        selector = "" if kind is EVENT_PIPELINE else f"{MANAGED_BY_LABEL}={OPERATOR}"
        try:
            lists = [await api.read_all(kind, namespace=each, selector=selector) for each in places]
        except CloudScaleError as error:
            log.warning("objects could not be listed", kind=kind.kind, error=str(error))
            continue
        listed = {(item["metadata"]["namespace"], item["metadata"]["name"]): item for each in lists for item in each}
        gone, changed = missed(before, observer.known(kind), listed)
        if gone or changed:
            log.info("a watch has missed changes", kind=kind.kind, gone=len(gone), changed=len(changed))
        for body in gone:
            observer.changed(kind, body, deleted=True)
        for body in changed:
            observer.changed(kind, body, deleted=False)


async def relist_regularly(
    api: KubernetesApi, observer: Observer, *, namespaces: Sequence[str], every_seconds: float
) -> None:
    """List everything again and again until cancelled."""
    while True:
        await asyncio.sleep(every_seconds)
        await relist(api, observer, namespaces=namespaces)


def missed(
    before: Mapping[Key, Manifest], now: Mapping[Key, Manifest], listed: Mapping[Key, Manifest]
) -> tuple[list[Manifest], list[Manifest]]:
    """The objects that are gone, and those that are new or changed.

    ``before`` and ``now`` are what was known before and after listing. An object that the watch reported in
    between is left out, since that report is newer than the list.
    """
    gone = [body for key, body in before.items() if key not in listed and now.get(key) is body]
    changed = [
        body
        for key, body in listed.items()
        if now.get(key) is before.get(key) and _version(body) != _version(now.get(key))
    ]
    return gone, changed


def _version(body: Manifest | None) -> str | None:
    return body["metadata"]["resourceVersion"] if body else None
