"""Functions of dates and times, which are strings such as ``2026-01-31T12:00:00.0000000Z``.

They are computed in ticks of 100 ns since the Unix epoch, as the service does.
"""

import re
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, Final

from cloudscale.emulators.cosmos.query.ast import UNDEFINED
from cloudscale.emulators.cosmos.query.signatures import Function, of_any, of_numbers, typed

SECOND: Final = 10_000_000
_DAY: Final = 86_400 * SECOND
_EPOCH: Final = date(1970, 1, 1)
_TEXT: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,7}))?)?)?)?Z?", re.ASCII)
_YEAR, _MONTH = "year", "month"
_NAMES: Final = {
    "yyyy": _YEAR, "yy": _YEAR, "year": _YEAR, "mm": _MONTH, "m": _MONTH, "month": _MONTH, "dd": "day", "d": "day",
    "day": "day", "hh": "hour", "hour": "hour", "mi": "minute", "n": "minute", "minute": "minute", "ss": "second",
    "s": "second", "second": "second", "ms": "millisecond", "millisecond": "millisecond", "mcs": "microsecond",
    "microsecond": "microsecond", "ns": "nanosecond", "nanosecond": "nanosecond",
}  # fmt: skip
_UNITS: Final[dict[str, float]] = {
    "day": _DAY,
    "hour": 3600 * SECOND,
    "minute": 60 * SECOND,
    "second": SECOND,
    "millisecond": SECOND / 1000,
    "microsecond": SECOND / 1_000_000,
    "nanosecond": SECOND / 1_000_000_000,
}


def parse_ticks(text: str) -> int | None:
    """Ticks since the Unix epoch; None for what is no date."""
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(each or 0) for each in match.groups()[:6])
    fraction = int((match.group(7) or "").ljust(7, "0"))
    return _ticks(year, month, day, ((hour, minute, second), fraction))


def _ticks(year: int, month: int, day: int, moment: tuple[tuple[int, int, int], int]) -> int | None:
    (hour, minute, second), fraction = moment
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60 and 0 <= fraction < SECOND):
        return None
    try:
        days = (date(year, month, day) - _EPOCH).days
    except (ValueError, OverflowError):
        return None
    return days * _DAY + (hour * 3600 + minute * 60 + second) * SECOND + fraction


def format_ticks(ticks: int) -> Any:
    """The string for ticks since the Unix epoch; undefined before the year 1 and after 9999."""
    days, rest = divmod(ticks, _DAY)
    try:
        day = _EPOCH + timedelta(days=days)
    except OverflowError:
        return UNDEFINED
    seconds, fraction = divmod(rest, SECOND)
    hours, seconds = divmod(seconds, 3600)
    return f"{day.isoformat()}T{hours:02}:{seconds // 60:02}:{seconds % 60:02}.{fraction:07}Z"


def _dated(compute: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a part's name and ticks, for a part and a date."""

    def checked(part: str, *rest: Any) -> Any:
        unit = _NAMES.get(part.lower())
        return UNDEFINED if unit is None else compute(unit, *rest)

    return checked


def _add(unit: str, amount: float, text: str) -> Any:
    ticks = parse_ticks(text)
    if ticks is None or int(amount) != amount:
        return UNDEFINED
    if unit in _UNITS:
        return format_ticks(ticks + int(int(amount) * _UNITS[unit]))
    day = _EPOCH + timedelta(days=ticks // _DAY)
    months = day.year * 12 + day.month - 1 + int(amount) * (12 if unit == _YEAR else 1)
    year, month = divmod(months, 12)
    # The 31st becomes the last of a shorter month.
    for last in range(day.day, min(day.day, 28) - 1, -1):
        moved = _ticks(year, month + 1, last, ((0, 0, 0), 0))
        if moved is not None:
            return format_ticks(moved + ticks % _DAY)
    return UNDEFINED


def _boundary(unit: str, ticks: int) -> int:
    """How many of the unit begin up to this moment."""
    if unit in _UNITS:
        return int(ticks // _UNITS[unit])
    day = _EPOCH + timedelta(days=ticks // _DAY)
    return day.year if unit == _YEAR else day.year * 12 + day.month


def _difference(unit: str, start: str, end: str) -> Any:
    first, last = parse_ticks(start), parse_ticks(end)
    if first is None or last is None:
        return UNDEFINED
    return _boundary(unit, last) - _boundary(unit, first)


def _part(unit: str, text: str) -> Any:
    ticks = parse_ticks(text)
    if ticks is None:
        return UNDEFINED
    day = _EPOCH + timedelta(days=ticks // _DAY)
    if unit in ("year", "month", "day"):
        return {"year": day.year, "month": day.month, "day": day.day}[unit]
    if unit in ("hour", "minute", "second"):
        return int(ticks % _DAY // _UNITS[unit]) % (24 if unit == "hour" else 60)
    return int(ticks % SECOND // _UNITS[unit]) if unit != "nanosecond" else ticks % SECOND * 100


def _bin(text: str, part: str, size: float = 1, origin: str = "1970-01-01T00:00:00.0000000Z") -> Any:
    unit = _NAMES.get(part.lower())
    ticks, start = parse_ticks(text), parse_ticks(origin)
    if unit not in _UNITS or ticks is None or start is None or size < 1 or int(size) != size:
        return UNDEFINED
    width = int(_UNITS[unit] * size)
    return format_ticks(start + (ticks - start) // width * width) if width else UNDEFINED


def _from_parts(*parts: Any) -> Any:
    if not all(isinstance(each, int) and not isinstance(each, bool) for each in parts):
        return UNDEFINED
    year, month, day, hour, minute, second, fraction = [*parts, 0, 0, 0, 0][:7]
    ticks = _ticks(year, month, day, ((hour, minute, second), fraction))
    return UNDEFINED if ticks is None else format_ticks(ticks)


def _to(divisor: int) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        ticks = parse_ticks(text)
        return UNDEFINED if ticks is None else ticks // divisor

    return convert


def at_query_time(name: str, moment: float) -> Any:
    """What a function gives that is the same for all rows of a query; None for other functions."""
    ticks = int(moment * 1_000_000) * 10
    return {
        "GETCURRENTDATETIMESTATIC": format_ticks(ticks),
        "GETCURRENTTIMESTAMPSTATIC": ticks // 10_000,
        "GETCURRENTTICKSSTATIC": ticks,
    }.get(name)


def _now() -> int:
    return time.time_ns() // 100


FUNCTIONS: Final[dict[str, Function]] = {
    "DATETIMEADD": typed("sns", _dated(_add)),
    "DATETIMEDIFF": typed("sss", _dated(_difference)),
    "DATETIMEPART": typed("ss", _dated(_part)),
    "DATETIMEBIN": typed("ssns", _bin, optional=2),
    "DATETIMEFROMPARTS": of_any(_from_parts, 3, 7),
    "DATETIMETOTIMESTAMP": typed("s", _to(10_000)),
    "DATETIMETOTICKS": typed("s", _to(1)),
    "TIMESTAMPTODATETIME": typed("n", lambda milliseconds: format_ticks(int(milliseconds * 10_000))),
    "TICKSTODATETIME": typed("n", lambda ticks: format_ticks(int(ticks))),
    "GETCURRENTDATETIME": of_any(lambda: format_ticks(_now()), 0),
    "GETCURRENTTIMESTAMP": of_numbers(lambda: _now() // 10_000, 0),
    "GETCURRENTTICKS": of_any(_now, 0),
}
