"""The events of a file, line by line, made fit to be sent more than once."""

from __future__ import annotations

import gzip
import hashlib
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import msgspec

from cloudscale.errors import ConfigurationError
from cloudscale.events import json_text
from cloudscale.events.checking import MAXIMUM_EVENT_BYTES, InvalidEventError
from cloudscale.events.json_text import BYTE_ORDER_MARK

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

STANDARD_INPUT = Path("-")
LINE_BYTES = 1024 * 1024
"""Of a longer line this much is read."""

_GZIP_MAGIC = b"\x1f\x8b"


class Line(msgspec.Struct, frozen=True):
    """One line with an event. ``position`` is how many bytes of the file had been read after it (compressed ones)."""

    number: int
    content: bytes
    position: int


class Head(msgspec.Struct, rename="camel"):
    """What tells whether an event has an identity of its own."""

    event_id: str | None = None
    specversion: str | None = None


def fingerprint(path: Path) -> str:
    """SHA-256 of the first line in hex, so that a file is the same one when it has grown, or was renamed or compressed.

    Empty for what cannot be read twice: the standard input, a pipe, a socket.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    if path == STANDARD_INPUT or (path.exists() and not path.is_file() and not path.is_dir()):
        return ""
    first = next(read_lines(path), None)
    return hashlib.sha256(first.content if first is not None else b"").hexdigest()


class Digest:
    """SHA-256 of the lines up to one of them: whether a file still begins as it did."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, line: Line) -> None:
        """Take one more line."""
        self._hash.update(b"%d %b\n" % (line.number, line.content))

    @property
    def value(self) -> str:
        """Of the lines that were taken, in hex."""
        return self._hash.copy().hexdigest()


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a JSONL file, plain or compressed with gzip, of a pipe or the standard input, without empty ones.

    Raises:
        ConfigurationError: the file cannot be read, or its compressed data is broken.
    """
    with _open(path) as raw:
        seekable = raw.seekable()
        compressed = raw.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)
        lines = cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if compressed else raw
        try:
            for number, content in enumerate(_bounded(lines), start=1):
                if stripped := content.removeprefix(BYTE_ORDER_MARK if number == 1 else b"").strip():
                    yield Line(number, stripped, raw.tell() if seekable else 0)
        except (EOFError, zlib.error, OSError) as error:
            raise ConfigurationError(f"{path} cannot be read to its end: {error}") from None


def _bounded(lines: BinaryIO) -> Iterator[bytes]:
    """The lines, each cut after :data:`LINE_BYTES`: what is longer is no event, and may be as long as the disk."""
    while line := lines.readline(LINE_BYTES):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = lines.readline(LINE_BYTES)
        yield line


def prepare(line: Line, *, origin: str) -> bytes:
    """The event as it is sent: with an ``eventId`` if it has no identity of its own.

    The id is made of ``origin``, the line's number and its content. So a line that is sent again, after an answer that
    never came or by the next replay, is recognised as the same, and one that was changed is another.

    Raises:
        ValueError: this can be no event; the message says why.
    """
    if len(line.content) > MAXIMUM_EVENT_BYTES:
        raise ValueError(f"more than the {MAXIMUM_EVENT_BYTES} bytes an event may have")
    try:
        event = json_text.decode(line.content)
        head = msgspec.convert(event, Head)
    except (InvalidEventError, msgspec.ValidationError) as error:
        raise ValueError(f"not an event in JSON: {error}") from None
    if b"\n" in line.content or b"\r" in line.content:
        raise ValueError("a line break inside of the line")
    if not origin or head.event_id is not None or head.specversion is not None:
        return line.content
    name = hashlib.sha256(b"%b\n%d\n%b" % (origin.encode(), line.number, line.content)).hexdigest()[:32]
    # In front, so that everything else is sent as it stands there. An eventId that is null would stand there twice.
    if "eventId" in event:
        return msgspec.json.encode({**event, "eventId": name})
    members = line.content.removeprefix(b"{").lstrip()
    return b'{"eventId":"%b"%b%b' % (name.encode(), b"," if event else b"", members)


def _open(path: Path) -> io.BufferedReader:
    try:
        if path == STANDARD_INPUT:
            return open(sys.stdin.fileno(), "rb", closefd=False)
        return path.open("rb")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
