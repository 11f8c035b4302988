"""The attributes of a CloudEvent and the forms that CloudEvents 1.0.2 gives them (sections 3 and 4 there)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from cloudscale.events.timestamps import is_moment
from cloudscale.events.unsafe_texts import TURNS_DIRECTION, has_direction
from cloudscale.events.wrong_values import MOMENT, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

REQUIRED = ("specversion", "type", "id", "source")

_INTEGERS: Final = range(-(2**31), 2**31)
_NAME: Final = re.compile(r"[a-z0-9]+\Z").match
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]").search
_URI_REFERENCE: Final = re.compile(r'[^\s<>"{}|\\^`]+\Z').match
_URI: Final = re.compile(r'[A-Za-z][A-Za-z0-9+.-]*:[^\s<>"{}|\\^`]*\Z').match
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE: Final = re.compile(rf'{_WORD}/{_WORD}(?:[ \t]*;[ \t]*{_WORD}=(?:{_WORD}|"[^"\\]*"))*[ \t]*\Z').match
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"\Z').match
_ESCAPED: Final = re.compile(r"\\(.)")

_FORMS: Final[dict[str, tuple[Callable[[str], object], str]]] = {
    "specversion": (lambda text: text == "1.0", "must be 1.0"),
    "source": (_URI_REFERENCE, "must be a URI reference, which has no spaces"),
    "dataschema": (_URI, "must be an absolute URI"),
    "datacontenttype": (_MEDIA_TYPE, "must be a media type like application/json (RFC 2046)"),
    "time": (is_moment, MOMENT),
}
_TEXTS: Final = frozenset({*REQUIRED, *_FORMS, "subject"})
_NAMING: Final = frozenset({"id", "source"})


def without_nulls(members: Mapping[str, object]) -> dict[str, object]:
    """The members that are set: null is as good as none (JSON Event Format, section 2.2)."""
    return {name: value for name, value in members.items() if value is not None}


def decode_header(value: str) -> str | None:
    """The text in a ``ce-`` header: quotes, then percent-encoding removed (HTTP Protocol Binding, section 3.1.3.2).

    None where the percent-encoding is not that of UTF-8.
    """
    quoted = _QUOTED(value)
    if quoted is not None:
        value = _ESCAPED.sub(r"\1", quoted[1])
    if "%" not in value:
        return value
    try:
        return unquote_to_bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        return None


def check_attributes(attributes: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """What is wrong with the attributes of one event: the name of each wrong one, and why."""
    for name in REQUIRED:
        if not isinstance(attributes.get(name), str) or not attributes[name]:
            required = "is required by CloudEvents 1.0: send text that is not empty"
            given = attributes.get(name)
            yield name, required if given is None or given == "" else f"{required}, not {kind_of(given)}"
    for name, value in attributes.items():
        wrong = _problem_of(name, value)
        if wrong is not None:
            yield name, wrong


def _problem_of(name: str, value: object) -> str | None:
    if not _NAME(name):
        return "is not a name for an attribute: use lower-case letters a to z and digits (CloudEvents 1.0, section 3.1)"
    if isinstance(value, str):
        if _CONTROL(value):
            return "must not contain control characters (CloudEvents 1.0, section 3.3)"
        if name in _NAMING and not value.isascii() and has_direction(value):
            return TURNS_DIRECTION
        if not value and name in _TEXTS:
            return None if name in REQUIRED else "must not be empty: leave it out"
        has_form, wrong = _FORMS.get(name, (None, ""))
        return wrong if has_form is not None and not has_form(value) else None
    if name in _TEXTS:
        return None if name in REQUIRED else f"must be text, not {kind_of(value)}"
    if isinstance(value, bool) or (isinstance(value, int) and value in _INTEGERS):
        return None
    return "must be text, true, false or a whole number of 32 bits (CloudEvents 1.0, section 3.3)"
