"""The page of the command line, from the commands themselves."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, NamedTuple

from docs.generator.markdown import block, code, page, table
from typer.main import get_command

from cloudscale.commands.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator


class Parameter(NamedTuple):
    """An argument or an option."""

    names: tuple[str, ...]
    is_option: bool
    default: str
    variable: str
    help: str


class CommandLine(NamedTuple):
    """One command: its words after ``cloudscale``, what it does, and what it takes."""

    words: tuple[str, ...]
    help: str
    parameters: tuple[Parameter, ...]


def commands() -> list[CommandLine]:
    """Every command, those of groups included."""
    return list(_commands(get_command(app), ()))


def render() -> str:
    """The page."""
    parts = [
        (
            "Exit codes of all commands: 0 done, 1 failed, 2 misused, 130 interrupted. `verify` has codes of its own, "
            "which its text explains. Options may stand before or after arguments."
        ),
    ]
    for command in commands():
        words = " ".join(("cloudscale", *command.words))
        arguments = " ".join(parameter.names[0].upper() for parameter in command.parameters if not parameter.is_option)
        parts += [f"## {words}", block("text", f"{words} [OPTIONS] {arguments}"), command.help]
        rows = [
            [
                ", ".join(code(name if parameter.is_option else name.upper()) for name in parameter.names),
                code(parameter.default),
                code(parameter.variable),
                parameter.help,
            ]
            for parameter in command.parameters
        ]
        if rows:
            parts.append(table(["Parameter", "Default", "Variable", "Meaning"], rows))
    return page("Command line", *parts)


def _commands(command: object, words: tuple[str, ...]) -> Iterator[CommandLine]:
    # Typer carries its own copy of click in some versions and depends on it in others, so attributes are what counts.
    below = getattr(command, "commands", None)
    if below:
        for name, member in below.items():
            yield from _commands(member, (*words, name))
        return
    parameters = tuple(_parameter(parameter) for parameter in getattr(command, "params", ()))
    text = inspect.cleandoc(str(getattr(command, "help", None) or ""))
    yield CommandLine(words, text, tuple(each for each in parameters if each.names != ("--help",)))


def _parameter(parameter: object) -> Parameter:
    is_option = getattr(parameter, "param_type_name", "") == "option"
    default = getattr(parameter, "default", None)
    shown = getattr(parameter, "show_default", None)
    text = shown if isinstance(shown, str) else "" if default is None or callable(default) else str(default)
    names = tuple(getattr(parameter, "opts", ())) + tuple(getattr(parameter, "secondary_opts", ()))
    variable = getattr(parameter, "envvar", None)
    return Parameter(
        names or (str(getattr(parameter, "name", "")),),
        is_option,
        text,
        variable if isinstance(variable, str) else "",
        str(getattr(parameter, "help", None) or ""),
    )
