"""Keeps what was refused for the dashboard: counted in memory by the request, written to Redis once a second.

Whatever is sent, a process has at most ``GROUPS_AN_HOUR`` groups an hour to write, ``GROUPS_OF_CLIENT`` of them for one
client, so that a client that makes up tenants and fields takes no place from the others. The rest is counted by status
and reason alone.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

from cloudscale.access.api_key import without_secrets
from cloudscale.ingestion.problems import Kind
from cloudscale.ingestion.refusal_log import SUMMED_UP, RefusalLog
from cloudscale.telemetry import metrics
from cloudscale.telemetry.refusals import (
    DETAIL_CHARACTERS,
    FIELD_CHARACTERS,
    GROUPS_A_CALL,
    GROUPS_AN_HOUR,
    HOUR_SECONDS,
    SAMPLE_CHARACTERS,
    Group,
    Sample,
)

if TYPE_CHECKING:
    from cloudscale.ingestion.problems import Problem
    from cloudscale.telemetry.refusals import RefusalStore

log = structlog.get_logger(__name__)

GROUPS_OF_CLIENT = 50
INTERVAL_SECONDS = 1.0
NO_REFUSALS = (Kind.INTERNAL, Kind.UNAVAILABLE)
"""What the server could not take is no refusal of an event."""


class Refusals:
    """The refusals of one process that Redis has not been told of yet."""

    def __init__(self) -> None:
        self.log = RefusalLog()
        self._waiting: dict[Group, int] = {}
        self._samples: dict[Group, Sample] = {}
        self._hour = 0
        self._known: set[Group] = set()
        """The groups of this hour."""
        self._of_client: Counter[str] = Counter()
        self._redis_answers = True

    def of_request(self, client: str, *, correlation_id: str) -> RequestRefusals:
        """Takes the refusals of one request."""
        return RequestRefusals(self, client, correlation_id)

    def note(self, group: Group, sample: tuple[str, str, bytes], *, count: int = 1) -> None:
        """Count refusals.

        Args:
            group: what they have in common.
            sample: of one of them the detail, the correlation id, and what was sent.
            count: how many there are.
        """
        if group not in self._known and not self._make_place(group):
            metrics.REFUSALS_WITHOUT_PLACE.inc(count)
            group = group.others
        elif group not in self._samples:
            detail, correlation_id, content = sample
            # A key may stand in a body by mistake. People who look at samples are not all its tenant's.
            text = without_secrets(content[: 4 * SAMPLE_CHARACTERS].decode(errors="replace"))[:SAMPLE_CHARACTERS]
            detail = without_secrets(detail)[:DETAIL_CHARACTERS]
            self._samples[group] = Sample(time.time(), detail, correlation_id, text)
        self._add(group, count)
        self.log.count(group, count)

    def _add(self, group: Group, count: int) -> None:
        # While Redis is away for hours, each hour has groups of its own.
        if group not in self._waiting and len(self._waiting) >= GROUPS_AN_HOUR:
            group = group.others
        self._waiting[group] = self._waiting.get(group, 0) + count

    def _make_place(self, group: Group) -> bool:
        hour = int(time.time() // HOUR_SECONDS)
        if hour != self._hour:
            self._hour = hour
            self._known.clear()
            self._of_client.clear()
        if len(self._known) >= GROUPS_AN_HOUR or self._of_client[group.client] >= GROUPS_OF_CLIENT:
            return False
        self._known.add(group)
        self._of_client[group.client] += 1
        return True

    async def write(self, store: RefusalStore) -> None:
        """Tell Redis what waits. What it does not take waits for the next call, within the same bounds.

        A call that Redis answers too late is made again, so that some refusals may be counted twice.
        """
        self.log.summarise()
        waiting, samples = self._waiting, self._samples
        if not waiting:
            return
        self._waiting, self._samples = {}, {}
        try:
            while waiting:
                some = list(islice(waiting, GROUPS_A_CALL))
                await store.add([(group, waiting[group], samples.get(group)) for group in some])
                for group in some:
                    del waiting[group]
        except (RedisError, OSError, TimeoutError) as error:
            if self._redis_answers:
                log.warning("refusals are not written for the dashboard: Redis is away", error=str(error))
            self._redis_answers = False
        else:
            self._redis_answers = True
        finally:
            # Nothing, unless a call failed or was cancelled.
            for group, count in waiting.items():
                self._add(group, count)

    async def write_every_second(self, store: RefusalStore) -> None:
        """Write until cancelled; what waits then is left to a last :meth:`write`."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await self.write(store)


class RequestRefusals:
    """Takes the refusals of one request: counts them, and has them logged in one line."""

    def __init__(self, refusals: Refusals, client: str, correlation_id: str) -> None:
        self.correlation_id = correlation_id
        self._refusals = refusals
        self._client = client
        self._noted: list[tuple[Problem, str]] = []

    def note(self, problem: Problem, *, tenant_id: str = "", content: bytes = b"", count: int = 1) -> None:
        """Count a refusal, with the tenant and the beginning of what was sent as far as they are known."""
        tenant_id, content = tenant_id or problem.tenant_id, content or problem.content
        self._noted.append((problem, tenant_id))
        if problem.kind in NO_REFUSALS:
            return
        group = Group(problem.status, problem.reason, tenant_id, self._client, field_of(problem))
        self._refusals.note(group, (problem.detail, self.correlation_id, content), count=count)

    def write_log(self, *, of_batch: bool = False, event_id: str = "") -> None:
        """Say in the log what was noted. Copies and limits come in floods, so they are only summed up."""
        told = [(each, tenant_id) for each, tenant_id in self._noted if each.status not in SUMMED_UP]
        if not told:
            return
        fields = {
            "tenants": sorted({tenant_id for _, tenant_id in told if tenant_id})[:10],
            "fields": sorted({field for each, _ in told if (field := field_of(each))})[:10],
        }
        with structlog.contextvars.bound_contextvars(correlation_id=self.correlation_id):
            if of_batch:
                reasons = Counter(each.reason for each, _ in told)
                self._refusals.log.write(
                    "events of a batch were refused", events=len(told), reasons=dict(reasons), **fields
                )
            else:
                problem, _ = told[0]
                named = {"event_id": event_id} if event_id else {}
                self._refusals.log.write(
                    "an event was refused", status=problem.status, reason=problem.reason, **fields, **named
                )


def field_of(problem: Problem) -> str:
    """The first field that is wrong, as a JSON pointer or the name of a header."""
    return problem.errors[0].pointer[:FIELD_CHARACTERS] if problem.errors else ""
