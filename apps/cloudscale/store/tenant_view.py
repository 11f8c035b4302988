"""The store as far as somebody may see it: what asks through a view gets nothing of another tenant.

A view adds the tenants to every query itself, so that whoever asks cannot forget it. There is no way from a view to the
stores behind it.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from msgspec import structs

from cloudscale.errors import CloudScaleError
from cloudscale.store import ranking
from cloudscale.store.alerts import AlertStore
from cloudscale.store.latest import order_of
from cloudscale.store.profiles import ProfileStore
from cloudscale.tasks import gather_all

if TYPE_CHECKING:
    from cloudscale.store.alerts import Alert
    from cloudscale.store.batches import Document
    from cloudscale.store.creation_order import CreationFilter, CreationPage, Place
    from cloudscale.store.events import EventStore
    from cloudscale.store.latest import EventFilter, Position
    from cloudscale.store.profiles import Profile
    from cloudscale.store.ranking import Rank


class NotVisibleError(CloudScaleError):
    """A tenant was asked for that the view does not show."""

    def __init__(self, tenant_id: str) -> None:
        self.tenant_id = tenant_id
        super().__init__(f"tenant {tenant_id} is not one of those that may be seen")


def asked_tenants(tenant: str | None, visible: frozenset[str] | None) -> list[str | None]:
    """The tenants to ask for, None being everybody.

    Args:
        tenant: who is asked for; None for all that are seen.
        visible: whose data is seen; None for everybody's.

    Raises:
        NotVisibleError: the tenant is not one of those that are seen.
    """
    if tenant is not None and visible is not None and tenant not in visible:
        raise NotVisibleError(tenant)
    if tenant is not None or visible is None:
        return [tenant]
    return [*sorted(visible)]


class TenantView:
    """Events, profiles and alerts of some tenants.

    Args:
        store: the events' store of the pipeline.
        tenants: whose data is seen; None for everybody's.

    Each method that takes a ``tenant`` looks at that one only, or at all that are seen when it is None.

    Raises:
        NotVisibleError: of each method, when the tenant is not one of those that are seen.
        BackendError: of each method, when the store cannot be read.
    """

    def __init__(self, store: EventStore, tenants: frozenset[str] | None) -> None:
        self._store = store
        self._profiles = ProfileStore(store)
        self._alerts = AlertStore(store)
        self._tenants = tenants

    def _asked(self, tenant: str | None) -> list[str | None]:
        return asked_tenants(tenant, self._tenants)

    async def find_events(
        self, which: EventFilter, *, tenant: str | None = None, limit: int, after: Position | None = None
    ) -> list[Document]:
        """At most ``limit`` events that match, the last stored first, or those that follow ``after``.

        The filter's own tenant does not count.
        """
        pages = await gather_all(
            self._store.find_events(structs.replace(which, tenant_id=each), limit=limit, after=after)
            for each in self._asked(tenant)
        )
        return sorted(chain.from_iterable(pages), key=order_of)[:limit]

    async def find_by_creation(
        self, tenant: str, which: CreationFilter, *, limit: int, after: Place | None = None
    ) -> CreationPage:
        """A page of one tenant's events in the order of their own time."""
        self._asked(tenant)
        return await self._store.find_by_creation(tenant, which, limit=limit, after=after)

    async def find_alerts(self, *, tenant: str | None = None, user_id: str | None = None, limit: int) -> list[Alert]:
        """At most ``limit`` alerts of those written last, the latest first."""
        raised = await gather_all(
            self._alerts.find_alerts(tenant_id=each, user_id=user_id, limit=limit) for each in self._asked(tenant)
        )
        return sorted(chain.from_iterable(raised), key=lambda alert: alert.created_at, reverse=True)[:limit]

    async def find_profile(self, tenant: str, user_id: str) -> Profile | None:
        """One user's profile; None for a user without events."""
        self._asked(tenant)
        return await self._profiles.get(tenant, user_id)

    async def find_profiles(
        self, *, tenant: str | None = None, user_id: str | None = None, limit: int, after: Rank | None = None
    ) -> tuple[list[Profile], int]:
        """At most ``limit`` profiles with the highest scores, or those that follow ``after``, and how many match."""
        found: list[Profile] = []
        count = 0
        for each in self._asked(tenant):
            if user_id and each:
                profile = await self._profiles.get(each, user_id)
                own = [profile] if profile else []
                matching = len(own)
            else:
                own = await self._profiles.top(tenant_id=each, user_id=user_id, limit=limit, after=after)
                is_all = after is None and len(own) < limit
                matching = len(own) if is_all else await self._profiles.count(tenant_id=each, user_id=user_id)
            found += own
            count += matching
        return sorted(found, key=ranking.order_of)[:limit], count
