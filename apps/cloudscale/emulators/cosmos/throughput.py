"""Request units: what a request is charged, and whether a container may still spend it.

The charges follow the service's published rules of thumb ("Request Units in Azure Cosmos DB"): a point read costs 1 RU
for each KB, a write 5.5 RU and 0.5 RU for each further KB, a delete as much as a write, a query 2.3 RU and as much as
its documents weigh, a quarter RU each at least. They are plausible, not exact: the service's own depend on indexes.

With enforcement on, a container has a token bucket of one second's worth of its provisioned throughput, and may go
into debt with one request, as in the service: the request that exceeds is served, the next ones get 429.
"""

import time
from typing import Any, Final

import msgspec

from cloudscale.emulators.cosmos.decoding import decode_json, whole_number
from cloudscale.emulators.cosmos.errors import ThrottledRequestError, bad_request

KILOBYTE: Final = 1024
MINIMUM_THROUGHPUT: Final = 400
MINIMUM_AUTOSCALE: Final = 1000
DEFAULT_THROUGHPUT: Final[dict[str, Any]] = {"offerThroughput": MINIMUM_THROUGHPUT}
_settings_decoder: Final = msgspec.json.Decoder(dict[str, Any])


def read_charge(size: int) -> float:
    """A point read of ``size`` bytes."""
    return float(max(1, -(-size // KILOBYTE)))


def write_charge(size: int) -> float:
    """A create, upsert, replace, patch or delete of a document of ``size`` bytes."""
    return 5.5 + 0.5 * (size // KILOBYTE)


def query_charge(documents: int, size: int) -> float:
    """A page of a query that gave ``documents`` results of ``size`` bytes together."""
    return round(2.3 + max(0.25 * documents, size / KILOBYTE), 2)


def parse_throughput(manual: str | None, autoscale: str | None) -> dict[str, Any] | None:
    """The offer's content from the creation headers; raises CosmosError 400 for too little."""
    if autoscale:
        settings = decode_json(_settings_decoder, autoscale, "The autoscale settings")
        content: dict[str, Any] = {"offerThroughput": MINIMUM_THROUGHPUT, "offerAutopilotSettings": settings}
    elif manual:
        amount = whole_number(manual)
        if amount is None:
            raise bad_request(f"The throughput '{manual[:40]}' is no number.")
        content = {"offerThroughput": amount}
    else:
        return None
    check_throughput(content)
    return content


def check_throughput(content: dict[str, Any]) -> None:
    """Raise CosmosError 400 unless the amount is one that the service would provision."""
    autoscale = content.get("offerAutopilotSettings")
    if autoscale:
        most = autoscale.get("maxThroughput") if isinstance(autoscale, dict) else None
        if _check_minimum(most, MINIMUM_AUTOSCALE) % MINIMUM_AUTOSCALE:
            raise bad_request(f"Autoscale throughput must be a multiple of {MINIMUM_AUTOSCALE} RU/s, not {most}.")
    else:
        _check_minimum(content.get("offerThroughput"), MINIMUM_THROUGHPUT)


def _check_minimum(amount: Any, minimum: int) -> int:
    if not isinstance(amount, int) or isinstance(amount, bool):
        raise bad_request(f"The throughput must be a whole number of RU/s, not {str(amount)[:40]!r}.")
    if amount < minimum:
        # In the service's words, which clients look for.
        raise bad_request(
            f"Requested throughput {amount} is less than required minimum throughput {minimum}: ask for as much."
        )
    return amount


def provisioned(content: dict[str, Any]) -> int:
    """Request units a second that may be spent."""
    autoscale = content.get("offerAutopilotSettings")
    return int(autoscale["maxThroughput"] if autoscale else content["offerThroughput"])


class Budget:
    """A token bucket that refills with ``per_second`` request units."""

    def __init__(self, per_second: int) -> None:
        self.per_second = per_second
        self._available = float(per_second)
        self._at = time.monotonic()

    def check(self) -> None:
        """Raise ThrottledRequestError while the budget is spent."""
        now = time.monotonic()
        self._available = min(self.per_second, self._available + (now - self._at) * self.per_second)
        self._at = now
        if self._available <= 0:
            raise ThrottledRequestError(retry_after_milliseconds=int(-self._available / self.per_second * 1000) + 1)

    def spend(self, charge: float) -> None:
        """Take what a request has cost."""
        self._available -= charge
