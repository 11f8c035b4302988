"""Texts that an event is not taken with, though its type takes them: they look like others, or give a secret away.

Only what clients send is held to this. A worker takes what was accepted before, so that no accepted event becomes a
dead letter because of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cloudscale.events.checking import FieldError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudscale.events.checking import Document

DIRECTIONS: Final = "\u202a-\u202e\u2066-\u2069"
"""The characters that turn the direction of text, as a set of a pattern: with them an id looks like another one."""

TURNS_DIRECTION: Final = (
    "must not contain characters that turn the direction of text (U+202A to U+202E, U+2066 to U+2069)"
)

has_direction: Final = re.compile(f"[{DIRECTIONS}]").search

_USER_INFORMATION: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#\\]*@").match


def find_unsafe_texts(event: Document) -> Sequence[FieldError]:
    """What of an event's ids and address must not be stored; whether these fields are right otherwise is not asked."""
    event_id, user_id, url = event.get("eventId"), event.get("userId"), event.get("url")
    # Nearly every event ends here, so these tests are the cheapest that leave nothing out.
    if not (
        (type(event_id) is str and (event_id.isspace() or not event_id.isascii()))
        or (type(user_id) is str and (user_id.isspace() or not user_id.isascii()))
        or (type(url) is str and "@" in url)
    ):
        return ()
    errors = []
    for name, text in (("eventId", event_id), ("userId", user_id)):
        if isinstance(text, str) and text.isspace():
            errors.append(FieldError(f"/{name}", "must not consist of blanks only"))
        elif isinstance(text, str) and has_direction(text):
            errors.append(FieldError(f"/{name}", TURNS_DIRECTION))
    if isinstance(url, str) and event.get("eventType") == "page_view" and _USER_INFORMATION(url):
        wrong = "must not have a user name or password before the host, where it would be stored: leave out all up to @"
        errors.append(FieldError("/url", wrong))
    return errors
