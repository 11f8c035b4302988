"""LIKE patterns and regular expressions, both bounded in the time that they take."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from cloudscale.emulators.cosmos.errors import bad_request

MAXIMUM_PATTERN_CHARACTERS: Final = 1_000
# The engine tries up to (length of the text) to the power of (unbounded repetitions + 1) ways.
MAXIMUM_ATTEMPTS: Final = 10**8
_FLAGS: Final = {"m": re.MULTILINE, "s": re.DOTALL, "i": re.IGNORECASE, "x": re.VERBOSE}
_UNBOUNDED: Final = re.compile(r"\\.|\[(?:\\.|[^\]])*\]|(\*|\+|\{\d*,?\d*\})|(\()|(\))|(\|)", re.DOTALL)


@lru_cache(maxsize=256)
def like(pattern: str, escape: str | None) -> Callable[[str], bool]:
    """The test for ``LIKE``: ``%`` is any text, ``_`` any character, ``[a-c]`` and ``[^a]`` are sets.

    Each part between two ``%`` is looked for from the left, so a test takes no longer than the lengths' product.
    """
    parts = _like_parts(pattern, escape)
    expressions = [re.compile(part, re.DOTALL) for part in parts]
    first, *middle = expressions[:-1] if len(expressions) > 1 else expressions
    last = re.compile(f"(?:{parts[-1]})\\Z", re.DOTALL)
    width = _width(parts[-1])

    def matches(text: str) -> bool:
        found = first.match(text)
        if found is None:
            return False
        if len(parts) == 1:
            return found.end() == len(text)
        position = found.end()
        for expression in middle:
            found = expression.search(text, position)
            if found is None:
                return False
            position = found.end()
        start = len(text) - width
        return start >= position and last.match(text, start) is not None

    return matches


def _like_parts(pattern: str, escape: str | None) -> list[str]:
    parts, current, position = [], "", 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == escape and position < len(pattern):
            current += re.escape(pattern[position])
            position += 1
        elif character == "%":
            parts.append(current)
            current = ""
        elif character == "_":
            current += "."
        elif character == "[":
            end = pattern.find("]", position + 1)
            if end < 0:
                raise bad_request(f"The LIKE pattern '{pattern[:100]}' has an unclosed '['.")
            current += _set(pattern[position:end])
            position = end + 1
        else:
            current += re.escape(character)
    return [*parts, current]


def _set(members: str) -> str:
    negated = members.startswith("^")
    inside = members[1:] if negated else members
    escaped = "".join(f"\\{each}" if each in "\\[]^&~|" else each for each in inside)
    try:
        re.compile(f"[{escaped}]")
    except re.error as error:
        raise bad_request(f"The set '[{members[:40]}]' of a LIKE pattern makes no sense: {error}.") from error
    return f"[{'^' if negated else ''}{escaped}]"


def _width(part: str) -> int:
    """How many characters an expression of single characters and sets matches."""
    return len(re.findall(r"\[(?:\\.|[^\]])*\]|\\.|.", part, re.DOTALL))


@lru_cache(maxsize=256)
def regular_expression(pattern: str, modifiers: str) -> tuple[re.Pattern[str], int]:
    """The compiled expression and how many unbounded repetitions it has; raises CosmosError 400.

    A repetition within a repetition may take longer than anyone waits, and nothing can interrupt it.
    """
    if len(pattern) > MAXIMUM_PATTERN_CHARACTERS:
        raise bad_request(f"A regular expression has at most {MAXIMUM_PATTERN_CHARACTERS} characters.")
    flags = re.RegexFlag(0)
    for modifier in modifiers:
        if modifier not in _FLAGS:
            raise bad_request(f"'{modifier}' is no modifier of RegexMatch: m, s, i or x.")
        flags |= _FLAGS[modifier]
    repetitions = _count_repetitions(pattern)
    try:
        return re.compile(pattern, flags), repetitions
    except (re.error, RecursionError, OverflowError) as error:
        raise bad_request(f"The regular expression '{pattern[:100]}' makes no sense: {error}.") from error


def search(expression: re.Pattern[str], repetitions: int, text: str) -> bool:
    """Whether the expression is found in a text; raises CosmosError 400 where that could take too long."""
    if repetitions and (len(text) + 1) ** (repetitions + (not expression.pattern.startswith("^"))) > MAXIMUM_ATTEMPTS:
        raise bad_request(
            f"A text of {len(text)} characters and an expression with {repetitions} repetitions are not supported by "
            "this emulator: it could take too long."
        )
    return expression.search(text) is not None


def _count_repetitions(pattern: str) -> int:
    count = 0
    open_groups = [False]
    closed_with_repetition = -1
    for match in _UNBOUNDED.finditer(pattern):
        if match.group(1):
            if closed_with_repetition == match.start():
                raise bad_request(
                    "A repetition of what has a repetition or alternatives in it is not supported by this emulator in "
                    "regular expressions: it could take too long."
                )
            count += 1
            open_groups[-1] = True
        elif match.group(2):
            open_groups.append(False)
        elif match.group(3) and len(open_groups) > 1:
            repeats = open_groups.pop()
            open_groups[-1] |= repeats
            if repeats:
                closed_with_repetition = match.end()
        elif match.group(4):
            # The alternatives of a repeated group may begin alike, which is as bad.
            open_groups[-1] = True
    return count
