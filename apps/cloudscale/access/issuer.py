"""One issuer of tokens: its description and its keys, kept and renewed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, Self

import structlog

from cloudscale.access.caller import AccessUnavailableError
from cloudscale.access.provider_documents import IssuerError, ProviderMetadata, fetch_documents
from cloudscale.tasks import cancel_and_wait, start_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudscale.access.key_set import KeySet, SigningKey

log = structlog.get_logger(__name__)

RENEW_SECONDS: Final = 600.0
"""So long a key is still taken that its issuer has withdrawn, while the issuer answers."""
LEAST_SECONDS_BETWEEN_REQUESTS: Final = 30.0
KEEP_SECONDS: Final = 24 * 3600.0
"""So long keys are kept of an issuer that does not answer."""
WAIT_SECONDS: Final = 12.0
"""For both documents; each request has a shorter limit of its own."""


class Issuer:
    """An issuer, as ``async with Issuer(url) as issuer``. A task of its own asks for the keys again and again.

    ``version`` changes whenever the keys do: what was verified under another version must be verified anew.
    ``problem`` says why it could not be asked the last time; it is empty if it could.

    Args:
        url: its identifier, as tokens have it in ``iss``.
        authority_file: of an authority that counts for issuers in the cluster; see :mod:`cloudscale.trust`.
        clock: seconds that only grow.
    """

    def __init__(self, url: str, *, authority_file: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self.url = url
        self.version = 0
        self._authority_file = authority_file
        self._clock = clock
        self._metadata: ProviderMetadata | None = None
        self._keys: KeySet | None = None
        self._renewed_at = 0.0
        self._asked_at: float | None = None
        self.problem = ""
        self._asking: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._renewing = start_task(self._renew_again_and_again(), name=f"renew the keys of {self.url}")
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel_and_wait(*(task for task in (self._renewing, self._asking) if task is not None))

    async def key_for(self, key_id: str | None, algorithm: str) -> SigningKey | None:
        """The key of a token; None if this issuer has no such key.

        An unknown one lets the issuer be asked, at most every ``LEAST_SECONDS_BETWEEN_REQUESTS``.

        Raises:
            AccessUnavailableError: the issuer cannot be asked, so whether it has such a key is not known.
        """
        found = self._find(key_id, algorithm)
        if found is None:
            await self.renew()
            found = self._find(key_id, algorithm)
            if found is None and (self.problem or self._keys is None):
                raise AccessUnavailableError(self._unavailable())
        return found

    async def metadata(self) -> ProviderMetadata:
        """What the issuer says about itself, as of the last time that it answered.

        Raises:
            AccessUnavailableError: it has not answered yet.
        """
        if self._metadata is None:
            await self.renew()
        if self._metadata is None:
            raise AccessUnavailableError(self._unavailable())
        return self._metadata

    async def renew(self) -> None:
        """Ask the issuer, unless that was done just now; all who want it wait for the same request.

        It does not fail: what was known stays.
        """
        if self._asking is None or self._asking.done():
            now = self._clock()
            if self._asked_at is not None and now - self._asked_at < LEAST_SECONDS_BETWEEN_REQUESTS:
                return
            self._asked_at = now
            self._asking = start_task(self._ask(), name=f"ask {self.url}")
        # The request belongs to all who wait for it: one that gives up does not take it from the others.
        await asyncio.wait([self._asking], timeout=WAIT_SECONDS)

    def _find(self, key_id: str | None, algorithm: str) -> SigningKey | None:
        return None if self._keys is None else self._keys.find(key_id, algorithm)

    def _unavailable(self) -> str:
        # Whoever has no valid token gets to read this, so the problem itself stands in the log only.
        return f"the issuer {self.url} cannot be asked for its keys now: send the request again later"

    async def _renew_again_and_again(self) -> None:
        while True:
            await self.renew()
            await asyncio.sleep(LEAST_SECONDS_BETWEEN_REQUESTS if self.problem else RENEW_SECONDS)

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                metadata, keys = await fetch_documents(self.url, authority_file=self._authority_file)
        except (IssuerError, TimeoutError) as error:
            self._note(str(error) or f"{self.url} did not answer within {WAIT_SECONDS:.0f} s")
            return
        if not len(keys):
            log.warning("an issuer has no key for RS256, ES256 or EdDSA, so no token of it is taken", issuer=self.url)
        if self.problem:
            log.info("an issuer answers again", issuer=self.url)
        self.problem, self._renewed_at, self._metadata = "", self._clock(), metadata
        if self._keys is None or not keys.has_the_keys_of(self._keys):
            self._keys, self.version = keys, self.version + 1

    def _note(self, problem: str) -> None:
        if problem != self.problem:
            log.warning(
                "an issuer cannot be asked for its keys; known ones are kept",
                issuer=self.url,
                problem=problem,
            )
        self.problem = problem
        if self._keys is not None and self._clock() - self._renewed_at > KEEP_SECONDS:
            log.error("the keys of an issuer are too old, so no token of it is taken", issuer=self.url)
            self._keys, self.version = None, self.version + 1
