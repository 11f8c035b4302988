"""The archive side of the resource: every stored event as a row in a Parquet file."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from cloudscale.pipeline.fields import BoundedDuration, Model
from cloudscale.pipeline.rules import between, rules

FROM_A_SECOND_TO_AN_HOUR = between("1s", "1h")


class Archive(Model, frozen=True):
    """Where the archive is, and how soon events are in it."""

    directory: Annotated[
        str,
        Meta(
            description="Folder of the archive, which nothing else is in; a relative one is in the data directory of "
            "`cloudscale run`.",
            min_length=1,
            max_length=1024,
            pattern=r"^[^\x00-\x1f\x7f]+$",
        ),
    ] = "archive"
    interval: Annotated[
        BoundedDuration,
        Meta(
            description="How long stored events wait for a file, from 1s to 1h: a longer wait makes fewer and larger "
            "files. A file is closed before when it is large.",
            extra_json_schema=rules(FROM_A_SECOND_TO_AN_HOUR),
        ),
    ] = "5m"
