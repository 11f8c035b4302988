"""Reads the points of a series as they are kept in Redis, perhaps since another version of the dashboard ran."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec
import structlog

if TYPE_CHECKING:
    from collections.abc import Iterable

log = structlog.get_logger(__name__)

Kept = TypeVar("Kept")


def read_kept(raw: Iterable[bytes | str], kind: type[Kept], *, key: str) -> list[Kept]:
    """Those that are of this ``kind``; one line in the log says how many of the series ``key`` are not."""
    decoder = msgspec.json.Decoder(kind)
    points: list[Kept] = []
    foreign = 0
    last = ""
    for each in raw:
        try:
            points.append(decoder.decode(each))
        except msgspec.DecodeError as error:
            foreign += 1
            last = str(error)
    if foreign:
        log.warning("points that another version wrote are left out", points=foreign, key=key, error=last)
    return points
