"""What clients send as text, made into values: whatever cannot be read is refused with 400, never a failure."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

import msgspec

from cloudscale.emulators.cosmos.errors import bad_request

# More than any count or sequence number has, and few enough for 64 bits.
MAXIMUM_DIGITS: Final = 18

Value = TypeVar("Value")


def decode_json(decoder: msgspec.json.Decoder[Value], text: bytes | str | msgspec.Raw, what: str) -> Value:
    """Read JSON text; raises CosmosError 400, naming ``what`` it was to be.

    Not only wrong JSON is refused, but also what is no UTF-8 and what is nested too deeply for the stack.
    """
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise bad_request(f"{what} cannot be read: {error}.") from error


def whole_number(text: str) -> int | None:
    """The number that is written with at most 18 decimal digits and nothing else; None for any other text."""
    # Headers are Latin-1, where ² and ³ are digits too.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAXIMUM_DIGITS else None


def http_date(text: str) -> datetime | None:
    """The moment that an HTTP date means (RFC 9110, section 5.6.7), in UTC unless it says otherwise; None if none."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
