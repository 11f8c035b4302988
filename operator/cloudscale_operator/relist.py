"""Finds what the watches have missed, by listing everything once in a while.

A watch that is interrupted for longer than the API server remembers starts anew with what there is, and says nothing of
what has gone in between.
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

RELIST_SECONDS = 300.0


class Observer(Protocol):
    """Who keeps what the watches show."""

    def known(self, kind: Kind) -> Mapping[tuple[str, str], Manifest]:
        """The live objects of a kind, by namespace and name."""

    def changed(self, kind: Kind, body: Mapping[str, Any], *, deleted: bool) -> None:
        """As if a watch had told of an object."""


async def relist(api: KubernetesApi, observer: Observer, *, namespaces: Sequence[str]) -> None:
    """List each kind once, in some namespaces or in all, and tell the observer what it does not know yet."""
    places: Sequence[str | None] = namespaces or (None,)
    for kind in (EVENT_PIPELINE, *KINDS):
        before = observer.known(kind)
        selector = "" if kind is EVENT_PIPELINE else f"{MANAGED_BY_LABEL}={OPERATOR}"
        try:
            lists = [await api.read_all(kind, namespace=each, selector=selector) for each in places]
        except CloudScaleError as error:
            log.warning("not_listed", kind=kind.kind, error=str(error))
            continue
        listed = {(item["metadata"]["namespace"], item["metadata"]["name"]): item for each in lists for item in each}
        gone, news = missed(before, observer.known(kind), listed)
        if gone or news:
            log.info("watch_missed", kind=kind.kind, gone=len(gone), changed=len(news))
        for body in gone:
            observer.changed(kind, body, deleted=True)
        for body in news:
            observer.changed(kind, body, deleted=False)


async def relist_on(api: KubernetesApi, observer: Observer, *, namespaces: Sequence[str]) -> None:
    """Do so until cancelled."""
    while True:
        await asyncio.sleep(RELIST_SECONDS)
        await relist(api, observer, namespaces=namespaces)


def missed(
    before: Mapping[Key, Manifest], now: Mapping[Key, Manifest], listed: Mapping[Key, Manifest]
) -> tuple[list[Manifest], list[Manifest]]:
    """What is gone, and what is new or another than was known.

    ``before`` and ``now`` are what was known before and after listing. An object of which the watch told in between is
    left alone, for that news is later than the list.
    """
    gone = [body for key, body in before.items() if key not in listed and now.get(key) is body]
    news = [
        body
        for key, body in listed.items()
        if now.get(key) is before.get(key) and _version(body) != _version(now.get(key))
    ]
    return gone, news


def _version(body: Manifest | None) -> str | None:
    return body["metadata"]["resourceVersion"] if body else None
