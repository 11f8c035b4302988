"""Archived events as their clients sent them, as far as an archive knows that.

A row has what the pipeline added, and moments and numbers in one form whatever the client wrote. It also has the digest
of what the client sent (:func:`cloudscale.events.enrichment.payload_hash`), by which the one form of an event is found
that the client may have sent: sent again, it is recognised as the same event.
"""

from __future__ import annotations

from datetime import datetime
from itertools import product
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from cloudscale.events.checking import RESERVED
from cloudscale.events.enrichment import payload_hash
from cloudscale.events.timestamps import as_utc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cloudscale.events.checking import Document

_DIGITS_OF_MICROSECONDS: Final = slice(19, 26)


class SentEvent(NamedTuple):
    """An event that can be sent. ``is_original`` says whether it is what the client sent, with its own id and time."""

    document: Document
    is_original: bool


class _Form(NamedTuple):
    moment: Callable[[str], str | None]
    has_whole_numbers: bool
    left_out: frozenset[str]
    """Fields with the value that the pipeline gives to an event that has none."""


class SentEvents:
    """Finds what clients sent. The form of the last event comes first for the next: a client keeps to its own."""

    def __init__(self) -> None:
        self._forms = list(_FORMS)

    def of(self, row: Mapping[str, Any]) -> SentEvent:
        """The event of a row of the archive, a column a field and ``rest`` as the text of a JSON object.

        One that is not found as it was sent has its id, its time and all else that is known of it.
        """
        rest: Document = msgspec.json.decode(row["rest"]) if row["rest"] else {}
        digest = rest.get("payloadHash")
        columns = {name: _plain(value) for name, value in row.items() if name != "rest" and value is not None}
        known = {name: value for name, value in (columns | rest).items() if name not in RESERVED and name[:1] != "_"}
        if "createdAt" in known:
            for place, form in enumerate(self._forms):
                candidate = _in_form(known, form)
                if candidate is not None and payload_hash(candidate) == digest:
                    self._forms.insert(0, self._forms.pop(place))
                    return SentEvent(candidate, is_original=True)
        return SentEvent(_in_form(known, _PLAIN) or known, is_original=False)


def _plain(value: object) -> object:
    return as_utc(value) if isinstance(value, datetime) else value


def _in_form(known: Document, form: _Form) -> Document | None:
    """The event in a form; None if it cannot have it."""
    event = dict(known)
    for name in form.left_out:
        if name in event and _DEFAULTS.get(name, event[name]) != event[name]:
            return None
        event.pop(name, None)
    if isinstance(event.get("createdAt"), str):
        moment = form.moment(event["createdAt"])
        if moment is None:
            return None
        event["createdAt"] = moment
    amount = event.get("amount")
    if form.has_whole_numbers and isinstance(amount, float) and amount.is_integer():
        event["amount"] = int(amount)
    return event


def _shortened(digits: int, end: str) -> Callable[[str], str | None]:
    """The form of a moment with so many digits of a second, of a text as :func:`as_utc` makes it."""

    def form(text: str) -> str | None:
        fraction = text[_DIGITS_OF_MICROSECONDS]
        kept, lost = fraction[: digits + 1 if digits else 0], fraction[digits + 1 :]
        return None if lost.strip("0") else f"{text[:19]}{kept}{end}"

    return form


_DEFAULTS: Final[Document] = {"schemaVersion": 1, "metadata": {}}
_PLAIN: Final = _Form(_shortened(6, "Z"), has_whole_numbers=True, left_out=frozenset())
_FORMS: Final = [
    _Form(_shortened(digits, end), whole, frozenset(left_out))
    for left_out, digits, end, whole in product(
        [
            ("correlationId", "schemaVersion", "metadata"),
            ("schemaVersion", "metadata"),
            ("correlationId", "metadata"),
            ("correlationId", "schemaVersion"),
            ("metadata",),
            ("schemaVersion",),
            ("correlationId",),
            (),
        ],
        (0, 3, 6),
        ("Z", "+00:00"),
        (True, False),
    )
]
