"""Finds the profiles with the highest scores, page by page, at a cost that follows the page.

Pages go on behind the last profile of the one before (keyset pagination): in the order of scores, the highest first,
and among profiles of one score by id and tenant. Each query orders by one property, which every container has an index
for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cloudscale.store.conditions import Condition, all_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from cloudscale.store.profiles import Profile

    Query = Callable[[str, Mapping[str, object]], Awaitable[list[Profile]]]


class Rank(NamedTuple):
    """Where a profile stands in the order of all."""

    score: int
    id: str
    tenant_id: str


def rank_of(profile: Profile) -> Rank:
    """Where a profile stands."""
    return Rank(profile.score, profile.id, profile.tenant_id)


def order_of(profile: Profile) -> tuple[int, str, str]:
    """What profiles are sorted by."""
    return -profile.score, profile.id, profile.tenant_id


async def find_highest(
    query: Query, which: Sequence[Condition], *, limit: int, after: Rank | None = None
) -> list[Profile]:
    """At most ``limit`` profiles that meet the conditions, the highest scores first, or those that follow ``after``."""
    ranking = _Ranking(query, which)
    found: list[Profile] = []
    lower: list[Condition] = []
    if after is not None:
        found = await ranking.behind(after, limit=limit)
        lower = [Condition("c.score < @score", "@score", after.score)]
    if wanted := limit - len(found):
        more = await ranking.ask(lower, order="c.score DESC", limit=wanted)
        if len(more) == wanted:
            # Which of the lowest score's profiles came is chance.
            score = more[-1].score
            more = [profile for profile in more if profile.score != score]
            more += await ranking.of_score(score, limit=wanted - len(more))
        found += sorted(more, key=order_of)
    return found


class _Ranking:
    """Asks for profiles that meet some conditions."""

    def __init__(self, query: Query, which: Sequence[Condition]) -> None:
        self._query = query
        self._which = which

    async def ask(self, further: Sequence[Condition], *, order: str, limit: int) -> list[Profile]:
        where, parameters = all_of([*self._which, *further])
        return await self._query(f"SELECT TOP {limit} * FROM c{where} ORDER BY {order}", parameters)  # noqa: S608

    async def behind(self, rank: Rank, *, limit: int) -> list[Profile]:
        """At most ``limit`` profiles of a score that stand behind another one of it."""
        found = await self._of_id(rank.score, rank.id, limit=limit, after_tenant=rank.tenant_id)
        if wanted := limit - len(found):
            found += await self.of_score(rank.score, limit=wanted, after_id=rank.id)
        return found

    async def of_score(self, score: int, *, limit: int, after_id: str | None = None) -> list[Profile]:
        """At most ``limit`` profiles of a score, the first by id."""
        further = [_is_score(score), Condition("c.id > @id", "@id", after_id)]
        found = await self.ask(further, order="c.id", limit=limit)
        if len(found) == limit:
            # Users of several tenants may have the same id, and which of them came is chance.
            last = found[-1].id
            found = [profile for profile in found if profile.id != last]
            found += await self._of_id(score, last, limit=limit - len(found))
        return sorted(found, key=order_of)

    async def _of_id(
        self, score: int, profile_id: str, *, limit: int, after_tenant: str | None = None
    ) -> list[Profile]:
        further = [
            _is_score(score),
            Condition("c.id = @id", "@id", profile_id),
            Condition("c.tenantId > @after", "@after", after_tenant),
        ]
        return await self.ask(further, order="c.tenantId", limit=limit)


def _is_score(score: int) -> Condition:
    return Condition("c.score = @score", "@score", score)
