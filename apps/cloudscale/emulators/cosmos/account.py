"""What the account says of itself."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from cloudscale.emulators.cosmos.errors import bad_request
from cloudscale.emulators.cosmos.protocol import Request

ConsistencyLevel = Literal["Strong", "BoundedStaleness", "Session", "ConsistentPrefix", "Eventual"]
CONSISTENCY_LEVELS: Final[tuple[ConsistencyLevel, ...]] = get_args(ConsistencyLevel)
"""The strongest first."""
DEFAULT_CONSISTENCY: Final[ConsistencyLevel] = "Session"
DEFAULT_REGION: Final = "South Central US"
"""As Microsoft's emulator has it."""


@dataclass(frozen=True, slots=True)
class Account:
    """Its address, the name of its one region, and the consistency that it promises. What is read is always current.

    ``advertised_host`` is None where the account has the address that the client has used.
    """

    scheme: str = "http"
    advertised_host: str | None = None
    region: str = DEFAULT_REGION
    consistency: ConsistencyLevel = DEFAULT_CONSISTENCY

    def host(self, request: Request) -> str:
        """The host that the account names to the client of a request, with its port."""
        return self.advertised_host or request.headers.get("host", "")

    def check_consistency(self, request: Request) -> None:
        """Refuse a request for more than the account promises; raises CosmosError 400."""
        wanted = request.headers.get("x-ms-consistency-level", "")
        levels = [level.lower() for level in CONSISTENCY_LEVELS]
        if wanted and wanted.lower() not in levels:
            raise bad_request(f"The consistency level '{wanted[:40]}' is not one of {', '.join(CONSISTENCY_LEVELS)}.")
        if wanted and levels.index(wanted.lower()) < CONSISTENCY_LEVELS.index(self.consistency):
            raise bad_request(
                f"ConsistencyLevel {wanted} specified in the request is invalid when the service is configured with "
                f"consistency level {self.consistency}: it must not be stronger."
            )
