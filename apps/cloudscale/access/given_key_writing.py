"""Adds a key to a file that gives keys, and leaves all else in it as its author wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import yaml

from cloudscale.access.given_keys import LARGEST_FILE_BYTES, entry_of, read
from cloudscale.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from cloudscale.access.records import Key


def add_key(path: Path, key: Key) -> None:
    """Add ``key`` at the end of the file, which is made if there is none.

    Raises:
        ConfigurationError: the file cannot be read or written, or is no list of keys.
    """
    try:
        before = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    try:
        read(before)
        after = with_entry(before, key)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path} cannot be added to: {error}") from None
    try:
        path.write_bytes(after)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None


def with_entry(before: bytes, key: Key) -> bytes:
    """The content of a file with one key more.

    Raises:
        ConfigurationError: it would be too long.
    """
    entry = entry_of(key)
    if before.lstrip().startswith(b"["):
        listed = yaml.safe_load(before)
        after = msgspec.json.format(msgspec.json.encode([*listed, entry]), indent=2) + b"\n"
    else:
        line_end = b"" if not before or before.endswith(b"\n") else b"\n"
        after = before + line_end + yaml.safe_dump([entry], sort_keys=False).encode()
    if len(after) > LARGEST_FILE_BYTES:
        raise ConfigurationError(f"it would have more than {LARGEST_FILE_BYTES:,} bytes: begin another file")
    read(after)
    return after
