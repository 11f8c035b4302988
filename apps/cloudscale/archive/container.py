"""Opens the official client of the Blob storage that has an archive, and says what its errors mean."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import aiohttp

from cloudscale.archive.location import require_connection
from cloudscale.archive.spool import ArchiveUnavailableError
from cloudscale.errors import ConfigurationError, CredentialError
from cloudscale.trust import client_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from azure.storage.blob.aio import ContainerClient

    from cloudscale.pipeline.archive import Archive
    from cloudscale.settings import Settings

CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 20
RETRIES: Final = 1
RETRY_SECONDS: Final = 1
"""The callers try again, and a lease has to be renewed in time."""

BLOCK_BYTES: Final = 1024 * 1024
"""A larger file goes in blocks of this size, which the service puts together at the end. aiohttp warns of more."""


@asynccontextmanager
async def open_container(archive: Archive, settings: Settings) -> AsyncIterator[ContainerClient]:
    """A client of the archive's container. It is not asked for anything yet.

    Raises:
        ConfigurationError: there is no usable connection string, or the SDK is not installed.
    """
    text = settings.archive_connection_string
    require_connection(archive, text)
    try:
        from azure.core.pipeline.transport import AioHttpTransport  # noqa: PLC0415 - large, and needed by few commands
        from azure.storage.blob.aio import ContainerClient  # noqa: PLC0415 - as above
    except ImportError:
        raise ConfigurationError(
            "an archive in Blob storage needs its SDK, which is not installed: pip install 'cloudscale[archive]'"
        ) from None
    trust = client_context(_host(text), authority_file=settings.certificate_authority_file)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trust), auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
    )
    try:
        try:
            client = ContainerClient.from_connection_string(
                text,
                archive.container,
                transport=AioHttpTransport(session=session, session_owner=True),
                connection_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retry_total=RETRIES,
                initial_backoff=RETRY_SECONDS,
                increment_base=1,
                random_jitter_range=1,
                max_single_put_size=BLOCK_BYTES,
                max_block_size=BLOCK_BYTES,
                max_single_get_size=BLOCK_BYTES,
                max_chunk_get_size=BLOCK_BYTES,
            )
        except ValueError as error:
            raise ConfigurationError(
                f"the connection string of spec.archive.blob cannot be used: {error}; copy it from the storage "
                "account's access keys"
            ) from None
        async with client:
            yield client
    finally:
        await session.close()


def _host(connection_string: str) -> str:
    parts = dict(part.split("=", 1) for part in connection_string.split(";") if "=" in part)
    try:
        return urlsplit(parts.get("BlobEndpoint", "")).hostname or ""
    except ValueError as error:
        raise ConfigurationError(f"the BlobEndpoint of spec.archive.blob is no URL: {error}") from None


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Turn what the SDK raises into this project's errors; ``action`` says what was tried.

    Raises:
        CredentialError: 401 or 403.
        ArchiveUnavailableError: everything else.
    """
    from azure.core.exceptions import AzureError, HttpResponseError  # noqa: PLC0415 - see above

    try:
        yield
    except HttpResponseError as error:
        text = f"cannot {action}: the Blob storage answered {error.status_code}: {_first_line(error)}"
        if error.status_code in {401, 403}:
            raise CredentialError(f"{text}; check the connection string of spec.archive.blob") from error
        raise ArchiveUnavailableError(text) from error
    except (AzureError, aiohttp.ClientError, TimeoutError) as error:
        raise ArchiveUnavailableError(
            f"cannot {action}: the Blob storage cannot be reached: {_first_line(error)}"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).split("\n", 1)[0][:300]
