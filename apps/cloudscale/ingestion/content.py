"""What form a request's body has, and the body without its content encoding."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from cloudscale.ingestion.problems import Kind, Refused, refuse

if TYPE_CHECKING:
    from cloudscale.ingestion.requests import Request

JSON = "application/json"
GZIP = ("gzip", "x-gzip")
"""One coding, two names (RFC 9110, section 8.4.1.3)."""
MAXIMUM_GZIP_MEMBERS = 1000
UNNAMED_JSON = ("text/plain", "application/x-www-form-urlencoded")
"""What ``navigator.sendBeacon`` and ``curl -d`` call JSON that they are given as text. Taken from those only who have
authenticated: a web page may send these anywhere without asking the server first (Fetch, section 3.2.2), so that any
page could make its visitors send events to a pipeline on their own machine."""
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")


def media_type_of(request: Request) -> str:
    """The content type without parameters, in lower case; JSON if there is none.

    Raises:
        Refused: the charset is not UTF-8.
    """
    value = request.header("content-type")
    if not value or value == JSON:
        return JSON
    media_type, _, parameters = value.partition(";")
    if request.caller is not None and media_type.strip().lower() in UNNAMED_JSON:
        media_type = JSON
    if parameters and "charset" in parameters.lower() and "utf-8" not in parameters.lower().replace("utf8", "utf-8"):
        raise refuse(Kind.UNSUPPORTED, "JSON is UTF-8: send charset=utf-8 or none", "content-type")
    return media_type.strip().lower()


def content_of(request: Request, body: bytes, *, limit: int) -> bytes:
    """The body without its content encoding, within ``limit`` bytes.

    Raises:
        Refused: it is too large, or encoded in a way that is not understood.
    """
    if len(body) > limit:
        raise too_large(limit)
    given = request.header("content-encoding")
    if not given:
        return body
    codings = [coding for each in given.lower().split(",") if (coding := each.strip()) not in ("", "identity")]
    if not codings:
        return body
    if len(codings) > 1 or codings[0] not in GZIP:
        raise refuse(
            Kind.UNSUPPORTED,
            f"Content-Encoding {given[:32]!r} is not understood: send gzip or none",
            "content-encoding",
        )
    return _gunzip(body, limit=limit)


def _gunzip(body: bytes, *, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    for _ in range(MAXIMUM_GZIP_MEMBERS):
        decompressor = zlib.decompressobj(wbits=31)
        try:
            part = decompressor.decompress(body, limit - size + 1)
        except zlib.error:
            raise refuse(
                Kind.INVALID, "the body is not gzip, though Content-Encoding says so", "content-encoding"
            ) from None
        size += len(part)
        if size > limit or decompressor.unconsumed_tail:
            raise too_large(limit)
        if not decompressor.eof:
            raise refuse(Kind.INVALID, "the gzip body ends too early", "content-encoding")
        parts.append(part)
        # What fills a last block up is ignored, as gzip itself does.
        body = decompressor.unused_data.lstrip(b"\0")
        if not body:
            return b"".join(parts)
    detail = f"the gzip body has more than {MAXIMUM_GZIP_MEMBERS} members: compress it as one"
    raise refuse(Kind.INVALID, detail, "content-encoding")


def too_large(limit: int) -> Refused:
    """A refusal of a body of more than ``limit`` bytes."""
    return refuse(Kind.TOO_LARGE, f"the body has more than {limit} bytes: send less at once", "too-large")
