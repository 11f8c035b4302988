"""Which optional kinds the cluster has: KEDA's, the Gateway API's, those of the Prometheus operator."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from cloudscale_operator.kinds import OPTIONAL_KINDS
from cloudscale_operator.timing import DEFAULT_TIMING

if TYPE_CHECKING:
    from cloudscale_operator.api import KubernetesApi
    from cloudscale_operator.kinds import Kind
    from cloudscale_operator.timing import Timing

KINDS_SECONDS = 60.0
"""How late it is noticed that the cluster has got KEDA, or another extension."""


class Extensions:
    """Asks the API server, and asks again when the answer is older than ``KINDS_SECONDS``."""

    def __init__(self, api: KubernetesApi, *, timing: Timing = DEFAULT_TIMING) -> None:
        self._timing = timing
        self._api = api
        self._kinds: frozenset[Kind] = frozenset()
        self._read_at = -math.inf
        self._lock = asyncio.Lock()

    async def read(self) -> frozenset[Kind]:
        """The kinds.

        Raises:
            ApiRefusalError, BackendUnavailableError: the API server refuses or does not answer.
        """
        # Callers wait for the first answer: without it the autoscalers would be taken for unwanted and be deleted.
        async with self._lock:
            if self._timing.monotonic() - self._read_at > KINDS_SECONDS:
                self._kinds = await self._api.existing_kinds(OPTIONAL_KINDS)
                self._read_at = self._timing.monotonic()
            return self._kinds
