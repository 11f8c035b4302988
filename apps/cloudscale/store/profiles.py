"""The profiles' container: what is known of each user, summed up over the user's stored events."""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import msgspec

from cloudscale.store.conditions import Condition, all_of, as_parameters, one_of
from cloudscale.store.errors import RESPONSES, translated
from cloudscale.store.ranking import Rank, find_highest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from azure.cosmos.aio import ContainerProxy

    from cloudscale.store.events import EventStore

BUCKETS = 4
"""Logical partitions of one tenant's profiles: few, so that a pass writes many profiles with each batch."""

ID_CHARACTERS = 250
IDS_PER_QUERY = 200


class Profile(msgspec.Struct, rename="camel", kw_only=True):
    """A user's profile. ``position`` is, for each range of the change feed, the last event that is in the sums."""

    id: str
    partition_key: str
    tenant_id: str
    user_id: str
    score: int = 0
    events: int = 0
    counts: dict[str, int] = {}
    purchases: dict[str, float] = {}
    first_seen: str = ""
    last_seen: str = ""
    position: dict[str, int] = {}
    etag: str | None = msgspec.field(default=None, name="_etag")
    """None for a profile that is not stored yet."""


def partition_of(tenant_id: str, user_id: str) -> str:
    """The partition key of a user's profile."""
    return f"{tenant_id}:{zlib.crc32(user_id.encode()) % BUCKETS}"


def profile_id(user_id: str) -> str:
    r"""A user id as a document id, which must not contain ``/ \ ? #`` nor be too long."""
    quoted = quote(user_id, safe=" !\"$&'()*+,-.:;<=>@[]^_`{|}~")
    if len(quoted) <= ID_CHARACTERS:
        return quoted
    return f"{quoted[:100]}~{hashlib.blake2b(user_id.encode(), digest_size=16).hexdigest()}"


class ProfileStore:
    """The profiles of one pipeline, over the client of its :class:`EventStore`."""

    def __init__(self, store: EventStore) -> None:
        self._container: ContainerProxy = store.database.get_container_client(store.names.profiles)

    async def get(self, tenant_id: str, user_id: str) -> Profile | None:
        """A user's profile; None for a user without events."""
        found = await self.read(partition_of(tenant_id, user_id), [profile_id(user_id)])
        return found[0] if found else None

    async def read(self, partition_key: str, ids: Sequence[str]) -> list[Profile]:
        """Those of the profiles that are stored."""
        profiles: list[Profile] = []
        with translated(f"read profiles of {partition_key}"):
            for start in range(0, len(ids), IDS_PER_QUERY):
                condition, parameters = one_of("c.id", ids[start : start + IDS_PER_QUERY])
                query = f"SELECT * FROM c WHERE {condition}"  # noqa: S608 - names only
                rows = self._container.query_items(
                    query, parameters=as_parameters(parameters), partition_key=partition_key
                )
                async for row in rows:
                    profiles.append(msgspec.convert(row, Profile))  # noqa: PERF401 - mypy loses the type in +=
        return profiles

    async def count(self, *, tenant_id: str | None = None, user_id: str | None = None) -> int:
        """How many profiles there are, of one tenant or user if they are named."""
        where, parameters = all_of(_of(tenant_id, user_id))
        with translated("count profiles"):
            rows = self._container.query_items(
                f"SELECT VALUE COUNT(1) FROM c{where}",  # noqa: S608 - names only
                parameters=as_parameters(parameters),
            )
            return sum([cast("int", count) async for count in rows])

    async def top(
        self,
        *,
        tenant_id: str | None = None,
        user_id: str | None = None,
        limit: int = 20,
        after: Rank | None = None,
    ) -> list[Profile]:
        """At most ``limit`` profiles, the highest scores first, or those that follow ``after``.

        They are of one tenant or user if they are named.
        """

        async def query(text: str, parameters: Mapping[str, object]) -> list[Profile]:
            # In one page: each further one of the service's may look at everything again.
            rows = self._container.query_items(text, parameters=as_parameters(parameters), max_item_count=limit)
            return [msgspec.convert(row, Profile) async for row in rows]

        with translated("query profiles"):
            return await find_highest(query, _of(tenant_id, user_id), limit=limit, after=after)

    async def write(self, profiles: Sequence[Profile]) -> bool:
        """Write profiles of one partition, at most 100, in one transaction, and note their new ETags.

        False when one of them was changed since it was read; none is written then.

        Raises:
            BackendError: they may or may not be written; read them again before anything else.
        """
        partition_key = profiles[0].partition_key
        operations = [_operation(profile) for profile in profiles]
        with translated(f"write {len(profiles)} profiles of {partition_key}"):
            try:
                results = await self._container.execute_item_batch(operations, partition_key)
            except RESPONSES as error:
                if error.status_code in {404, 409, 412}:
                    return False
                raise
        for profile, result in zip(profiles, results, strict=True):
            profile.etag = result["eTag"]
        return True


def _of(tenant_id: str | None, user_id: str | None) -> list[Condition]:
    """The conditions of profiles of a tenant and a user, as far as they are named."""
    return [Condition("c.tenantId = @tenant", "@tenant", tenant_id), Condition("c.userId = @user", "@user", user_id)]


def _operation(
    profile: Profile,
) -> tuple[str, tuple[dict[str, object]]] | tuple[str, tuple[str, dict[str, object]], dict[str, str]]:
    document: dict[str, object] = msgspec.to_builtins(profile)
    del document["_etag"]
    if profile.etag is None:
        return "create", (document,)
    return "replace", (profile.id, document), {"if_match_etag": profile.etag}
