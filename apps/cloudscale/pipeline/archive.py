"""The archive side of the resource: every stored event as a row in a Parquet file."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from cloudscale.pipeline.fields import BoundedDuration, Model, SecretKey
from cloudscale.pipeline.rules import between, excludes, rules

FROM_A_SECOND_TO_AN_HOUR = between("1s", "1h")


ONE_PLACE_OF_THE_ARCHIVE = excludes("directory", "blob")
DEFAULT_DIRECTORY: Final = "archive"


class Blob(Model, frozen=True):
    """An account of Azure Blob storage."""

    connection_secret_ref: Annotated[
        SecretKey,
        Meta(
            description="Where the connection string of the storage account is. `cloudscale run` has it from the "
            "environment variable `CLOUDSCALE_ARCHIVE_CONNECTION_STRING` instead."
        ),
    ]


class Archive(Model, frozen=True):
    """Where the archive is, and how soon events are in it."""

    directory: Annotated[
        Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]+$")] | None,
        Meta(
            description="Folder of the archive, which nothing else is in; a relative one is in the data directory of "
            "`cloudscale run`. Left out together with `blob`, it is `archive` there."
        ),
    ] = None
    blob: Annotated[Blob | None, Meta(description="Azure Blob storage that has the archive, instead of a folder.")] = (
        None
    )
    container: Annotated[
        str,
        Meta(
            description="Container of `blob`, which nothing else is in. It is created if it is absent.",
            pattern=r"^[a-z0-9](-?[a-z0-9])*$",
            min_length=3,
            max_length=63,
        ),
    ] = "events-archive"
    interval: Annotated[
        BoundedDuration,
        Meta(
            description="How long stored events wait for a file, from 1s to 1h: a longer wait makes fewer and larger "
            "files. A file is closed before when it is large.",
            extra_json_schema=rules(FROM_A_SECOND_TO_AN_HOUR),
        ),
    ] = "5m"
