"""What an archive says of itself in ``archive.json``: that it is one, in which form, and of which pipeline."""

from __future__ import annotations

from typing import Final

import msgspec

from cloudscale.errors import ConfigurationError

IDENTITY: Final = "archive.json"
VERSION: Final = 1


class Identity(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The content of ``archive.json``."""

    version: int
    pipeline: str


def new_identity(pipeline: str) -> bytes:
    """The content for a new archive."""
    return msgspec.json.encode(Identity(version=VERSION, pipeline=pipeline)) + b"\n"


def identified(content: bytes, *, where: str, pipeline: str) -> None:
    """Make sure that ``content`` is that of an archive of ``pipeline``, which is at ``where``.

    Raises:
        ConfigurationError: it is no archive's, or not of this pipeline, or of a later version.
    """
    try:
        identity = msgspec.json.decode(content, type=Identity)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{where}/{IDENTITY} cannot be read ({error}): restore it from a backup") from None
    if identity.version > VERSION:
        raise ConfigurationError(f"{where} was written by a later version of cloudscale: use that one")
    if identity.pipeline != pipeline:
        raise ConfigurationError(
            f"{where} is the archive of {identity.pipeline}, not of {pipeline}: name another place in spec.archive"
        )
