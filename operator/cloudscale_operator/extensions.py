"""Which optional kinds the cluster has: KEDA's, the Gateway API's, those of the Prometheus operator."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from cloudscale_operator.kinds import OPTIONAL_KINDS

if TYPE_CHECKING:
    from cloudscale_operator.api import KubernetesApi
    from cloudscale_operator.kinds import Kind

KINDS_SECONDS = 60.0
"""How late it is noticed that the cluster has got KEDA, or another extension."""


class Extensions:
    """Asks the API server, and again by age."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api
        self._kinds: frozenset[Kind] = frozenset()
        self._read_at = -math.inf
        self._lock = asyncio.Lock()

    async def read(self) -> frozenset[Kind]:
        """The kinds.

        Raises:
            ApiRefusalError, BackendUnavailableError: the API server refuses or does not answer.
        """
        # Nobody may go on with what was known before: an empty answer would take the autoscalers away.
        async with self._lock:
            if time.monotonic() - self._read_at > KINDS_SECONDS:
                self._kinds = await self._api.existing_kinds(OPTIONAL_KINDS)
                self._read_at = time.monotonic()
            return self._kinds
