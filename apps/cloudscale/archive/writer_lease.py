"""Who writes to an archive in Blob storage: the process that has the lease of its ``archive.json``."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

import structlog

from cloudscale.archive.container import translated
from cloudscale.archive.spool import ArchiveUnavailableError
from cloudscale.errors import BackendError, CloudScaleError
from cloudscale.tasks import cancel_and_wait, start_task

if TYPE_CHECKING:
    from azure.storage.blob.aio import BlobClient, BlobLeaseClient

log = structlog.get_logger(__name__)

LEASE_SECONDS: Final = 60
RENEW_SECONDS: Final = 15


class ArchiveTakenError(CloudScaleError):
    """Another process writes to the archive since, so this one must begin anew."""


class WriterLease:
    """The lease, renewed for as long as the context lasts.

    Raises:
        ArchiveUnavailableError: another process has it, which may have been killed: it ends after a minute at the most.
    """

    def __init__(self, blob: BlobClient, *, holder: str) -> None:
        self._blob = blob
        # A lease that is taken by its own id goes on, so whoever comes after one that was killed need not wait.
        self._id = str(uuid.uuid5(uuid.NAMESPACE_URL, holder))
        self._lease: BlobLeaseClient | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        from azure.core.exceptions import ResourceExistsError  # noqa: PLC0415 - large, and needed by few processes

        with translated("take the archive's lease"):
            try:
                self._lease = await self._blob.acquire_lease(lease_duration=LEASE_SECONDS, lease_id=self._id)
            except ResourceExistsError:
                raise ArchiveUnavailableError(
                    f"another process archives to container {self._blob.container_name}, or was killed less than "
                    f"{LEASE_SECONDS} s ago: wait, or name another spec.archive.container"
                ) from None
        self._renewing = start_task(self._renew(), name="lease of the archive")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._renewing is not None:
            await cancel_and_wait(self._renewing)
        if self._lease is not None:
            # Whoever comes next waits for its end otherwise.
            with suppress(BackendError), translated("give the archive's lease back"):
                await self._lease.release()

    async def require(self) -> None:
        """Make sure that nobody else writes, nor will for the next minute.

        A lease that ended is this process's again if nobody had it in between.

        Raises:
            ArchiveTakenError: somebody has it, or had it.
            ArchiveUnavailableError, CredentialError: it cannot be renewed at present.
        """
        from azure.core.exceptions import HttpResponseError, ResourceExistsError  # noqa: PLC0415 - as above

        if self._lease is None:
            raise ArchiveTakenError("the archive's lease was never taken")
        with translated("renew the archive's lease"):
            try:
                await self._lease.renew()
            except ResourceExistsError as error:
                raise self._taken() from error
            except HttpResponseError as error:
                if error.status_code in {404, 409, 412}:
                    raise self._taken() from error
                raise

    def _taken(self) -> ArchiveTakenError:
        return ArchiveTakenError(
            f"the archive in container {self._blob.container_name} is another process's since, or was deleted: only "
            "one may write to it"
        )

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await self.require()
            except BackendError as error:
                log.warning("the archive's lease cannot be renewed", error=str(error))
            except ArchiveTakenError as error:
                # What writes next is told so.
                log.error("the archive is another process's", error=str(error))  # noqa: TRY400 - no bug, so no trace
                return
