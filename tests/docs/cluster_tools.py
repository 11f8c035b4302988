"""What kubectl and helm say of their own subcommands and options, to check the commands that the pages show."""

from __future__ import annotations

import re
import subprocess
from functools import cache

TOOLS = ("helm", "kubectl")
HELP_SECONDS = 30.0

_OPTION = re.compile(r"^\s+(?:(-\w), )?(--[\w-]+)[= ]", re.MULTILINE)
_USAGE = re.compile(r"^Usage:\n\s+(.+)$", re.MULTILINE)


def unknown_words(command: list[str]) -> list[str]:
    """The subcommand, if the tool has none of that name, or else the options that it does not take."""
    command = command[: command.index("--")] if "--" in command else command
    tool, *words = command
    while words and words[0].startswith("-"):
        words = words[1:] if "=" in words[0] else words[2:]
    path = (tool, *(word for word in words[:3] if re.fullmatch(r"[a-z-]+", word)))
    subcommand = next((path[:length] for length in (4, 3, 2) if len(path) >= length and _is_known(path[:length])), None)
    if subcommand is None:
        return words[:1]
    given = [word.partition("=")[0] for word in command if re.match(r"--?\w", word)]
    return [option for option in given if option not in options_of(subcommand)]


@cache
def options_of(subcommand: tuple[str, ...]) -> frozenset[str]:
    """Long and short names of all options, those of the whole tool included."""
    text = _help(*subcommand)
    if subcommand[0] == "kubectl":
        text += _output("kubectl", "options")
    return frozenset(name for names in _OPTION.findall(text) for name in names if name)


def _is_known(subcommand: tuple[str, ...]) -> bool:
    usage = _USAGE.search(_help(*subcommand))
    return usage is not None and usage.group(1).split()[: len(subcommand)] == list(subcommand)


@cache
def _help(*subcommand: str) -> str:
    return _output(*subcommand, "--help")


def _output(*command: str) -> str:
    # A subcommand that does not exist makes an error of it, whose text has no usage.
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HELP_SECONDS)
    return result.stdout
