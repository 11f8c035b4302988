"""What a request asks for: the parameters of ``GET /api/v1/events``, checked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import structs

from cloudscale.dashboard.reading.cursors import WrongCursorError, read_cursor, write_cursor
from cloudscale.dashboard.reading.parameters import ID, SHORT, Parameters
from cloudscale.events.checking import EventId, ShortText
from cloudscale.store.creation_order import CreationFilter, Place

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

MOST_EVENTS: Final = 200
USUAL_EVENTS: Final = 50
AHEAD: Final = timedelta(days=1)
"""How far ahead of this machine's clock an event may be to be listed without being asked for: the clocks of senders are
wrong, by a time zone at the most if they are set at all. One query finds where the newest events are, then."""

PARAMETERS: Final = ("id", "user", "type", "device", "suspicious", "since", "until", "order", "limit", "cursor")
_TRUTHS: Final = {"true": True, "false": False}
_ORDERS: Final = {"desc": True, "asc": False}


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are asked for, and where the page begins."""

    tenant_id: str
    asked: CreationFilter
    """As the request says it."""
    until: datetime | None
    """The end of the range that holds where the request names none."""
    after: Place | None
    limit: int

    @property
    def which(self) -> CreationFilter:
        """What to ask the store for."""
        return self.asked if self.asked.until is not None else structs.replace(self.asked, until=self.until)

    def cursor(self, following: Place | None) -> str | None:
        """The cursor of the page that begins at ``following``."""
        if following is None:
            return None
        return write_cursor(self.tenant_id, self.asked, following, until=self.until)


def read_question(given: QueryParams, tenant_id: str, *, now: datetime) -> Question:
    """What a query string asks of a tenant's events.

    Raises:
        RefusedReadingError: some parameters are wrong; all of them are named.
    """
    parameters = Parameters(given, PARAMETERS)
    asked = CreationFilter(
        event_id=parameters.text("id", EventId, ID),
        user_id=parameters.text("user", ShortText, SHORT),
        event_type=parameters.text("type", ShortText, SHORT),
        device_id=parameters.text("device", EventId, ID),
        suspicious=parameters.choice("suspicious", _TRUTHS),
        since=parameters.moment("since"),
        until=parameters.moment("until"),
        newest_first=parameters.choice("order", _ORDERS) is not False,
    )
    if asked.since is not None and asked.until is not None and asked.since >= asked.until:
        parameters.refuse("until", "must be after since")
    limit = parameters.number("limit", usual=USUAL_EVENTS, most=MOST_EVENTS)
    cursor = parameters.get("cursor")
    after, until = None, None
    if cursor is not None:
        try:
            after, until = read_cursor(cursor, tenant_id, asked)
        except WrongCursorError as error:
            parameters.refuse("cursor", str(error))
    elif asked.until is None and (asked.since is None or asked.since < now + AHEAD):
        until = now.astimezone(UTC) + AHEAD
    parameters.check()
    return Question(tenant_id=tenant_id, asked=asked, until=until, after=after, limit=limit)
