"""Cosmos SQL text to tokens."""

import re
import sys
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from cloudscale.emulators.cosmos.errors import CosmosError, bad_request

MAXIMUM_QUERY_CHARACTERS: Final = 512 * 1024
# What SQLite can hold exactly; longer whole numbers are doubles, as all numbers of the service are.
MAXIMUM_DIGITS: Final = 19

_TOKEN: Final = re.compile(
    r"""
      (?P<space>\s+|--[^\n]*|/\*.*?\*/)
    | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<number>0[xX][0-9a-fA-F]+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<parameter>@\w+)
    | (?P<word>[^\W\d]\w*|\$\w+)
    | (?P<symbol>\?\?|\|\||<>|!=|<=|>>>|<<|>>|>=|[-+*/%=<>(),.\[\]{}:?&|^~])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Kind(Enum):
    """What a token is."""

    STRING = auto()
    NUMBER = auto()
    PARAMETER = auto()
    WORD = auto()
    SYMBOL = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A token; ``value`` of a string or number is the value itself. ``position`` counts characters from 0."""

    kind: Kind
    text: str
    position: int
    value: str | int | float = ""

    @property
    def keyword(self) -> str:
        """The text in upper case when this may be a keyword, else ""."""
        return self.text.upper() if self.kind is Kind.WORD else ""


def syntax_error(token: Token, expected: str = "") -> CosmosError:
    """400 naming the token and where it stands."""
    what = "the end of the query" if token.kind is Kind.END else f"'{token.text[:40]}'"
    hint = f", expected {expected}" if expected else ""
    return bad_request(f"Syntax error, incorrect syntax near {what} at position {token.position}{hint}.")


def not_supported(what: str, position: int) -> CosmosError:
    """400 for what the service has and the emulator has not."""
    return bad_request(f"{what}, at position {position}, is not supported by this emulator.")


def tokenize(text: str) -> list[Token]:
    """The tokens of a query, the last of which is END; raises CosmosError 400."""
    if len(text) > MAXIMUM_QUERY_CHARACTERS:
        raise bad_request(f"A query has at most {MAXIMUM_QUERY_CHARACTERS} characters.")
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise syntax_error(Token(Kind.SYMBOL, text[position], position))
        kind, part = match.lastgroup, match.group()
        if kind == "string":
            tokens.append(Token(Kind.STRING, part, position, _string(part, position)))
        elif kind == "number":
            tokens.append(Token(Kind.NUMBER, part, position, _number(part, position)))
        elif kind is not None and kind != "space":
            tokens.append(Token(Kind[kind.upper()], part, position))
        position = match.end()
    tokens.append(Token(Kind.END, "", len(text)))
    return tokens


def _string(text: str, position: int) -> str:
    plain = _ESCAPE.sub(_unescape, text[1:-1])
    if plain.isascii():
        return plain
    try:
        # Characters beyond 16 bits are written as two escapes, as in JSON (RFC 8259, section 7).
        return plain.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as error:
        raise bad_request(f"The string at position {position} has half of a surrogate pair.") from error


def _unescape(match: re.Match[str]) -> str:
    escape = match.group(1)
    if len(escape) == 5:
        return chr(int(escape[1:], 16))
    return _ESCAPES.get(escape, escape)


def _number(text: str, position: int) -> int | float:
    value: int | float
    if text[:2] in ("0x", "0X"):
        value = int(text, 16)
    elif text.isdigit() and len(text) <= MAXIMUM_DIGITS:
        return int(text)
    else:
        value = float(text)
    if abs(value) > sys.float_info.max:
        raise bad_request(f"The number at position {position} is beyond the range of a double.")
    return value
