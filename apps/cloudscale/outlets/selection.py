"""Which events an outlet sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from cloudscale.pipeline.outlets import Filter
    from cloudscale.store.batches import Document


@dataclass(frozen=True)
class Selection:
    """The filter of an outlet. An empty set takes everything."""

    event_types: frozenset[str]
    tenants: frozenset[str]
    suspicious: bool | None

    @classmethod
    def of(cls, given: Filter) -> Self:
        """The selection that a resource asks for."""
        return cls(frozenset(given.event_types), frozenset(given.tenants), given.suspicious)

    def takes(self, event: Document) -> bool:
        """Whether the event is sent. What is no event, as another program may write it, never is."""
        tenant, kind = event.get("tenantId"), event.get("eventType")
        if not (isinstance(tenant, str) and isinstance(kind, str) and isinstance(event.get("createdAt"), str)):
            return False
        if self.event_types and kind not in self.event_types:
            return False
        if self.tenants and tenant not in self.tenants:
            return False
        return self.suspicious is None or bool(event.get("suspicious")) == self.suspicious
