"""Where a page's script puts its key when it can set no header: into the query, or into the body, of a beacon."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

import msgspec

from cloudscale.access.caller import NotAuthenticatedError
from cloudscale.events.checking import PAGE_KEY, InvalidEventError
from cloudscale.events.json_text import BYTE_ORDER_MARK, decode

PARAMETER: Final = "key"
MOST_PARAMETERS: Final = 16
EVENTS: Final = "events"
"""Beside the key, the member with the events of a batch."""

_members_of = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


def key_in_query(query: str) -> str | None:
    """The value of the parameter ``key``; None if there is none.

    Raises:
        NotAuthenticatedError: it stands there twice.
    """
    try:
        found = [value for name, value in parse_qsl(query, max_num_fields=MOST_PARAMETERS) if name == PARAMETER]
    except ValueError:
        raise NotAuthenticatedError(
            f"the URL has more than {MOST_PARAMETERS} parameters", code="invalid_request"
        ) from None
    if len(found) > 1:
        raise NotAuthenticatedError("the URL has two keys: send one", code="invalid_request")
    return found[0] if found else None


def take_key_out(content: bytes, *, of_batch: bool) -> tuple[str | None, bytes]:
    """The key that a body has beside its event or events, and the body as it would be without.

    Args:
        content: an event with the member ``cloudscaleKey``, or an object of that member and ``events``, a list.
        of_batch: which of the two.
    """
    content = content.removeprefix(BYTE_ORDER_MARK)
    try:
        event = decode(content)
        key = event.get(PAGE_KEY) if isinstance(event, dict) else None
    except InvalidEventError:
        key = None
    if not isinstance(key, str):
        return None, content
    # Values stay as they were written: a number that is read and written again may be another.
    members = _members_of(content)
    del members[PAGE_KEY]
    return key, bytes(members[EVENTS]) if of_batch and members.keys() == {EVENTS} else _encode(members)
