"""Reading a resource from a document or a file, and writing it back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from cloudscale.errors import ConfigurationError, InvalidPipelineError
from cloudscale.pipeline.schema import as_builtins
from cloudscale.pipeline.spec import KIND, EventPipeline
from cloudscale.pipeline.validation import complete

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

LARGEST_FILE_BYTES = 256 * 1024
"""A hundred times an ordinary resource. It takes seconds to read that much YAML."""

MOST_VALUES = 200_000
"""Values in all documents of a file."""

SHOWN_CHARACTERS = 60

_UNDER_WAY = -1


def load(document: Mapping[str, Any]) -> EventPipeline:
    """Read a resource given as plain data, such as the API server's JSON.

    Raises:
        InvalidPipelineError: the document breaks the schema or a rule; ``problems`` names every broken field.
    """
    completed, problems = complete(document)
    if problems:
        raise InvalidPipelineError(problems)
    return msgspec.convert(completed, EventPipeline)


def load_file(path: Path | str) -> EventPipeline:
    """Read the one EventPipeline of a YAML or JSON file; documents of other kinds beside it are left alone.

    Raises:
        ConfigurationError: the file cannot be read, is not YAML, or does not hold exactly one EventPipeline.
        InvalidPipelineError: the EventPipeline breaks the schema or a rule.
    """
    try:
        return load(_read_document(path))
    except RecursionError:
        raise ConfigurationError(
            f"{path} is nested too deep, or an alias in it stands inside of its own anchor: write the value out"
        ) from None


def _read_document(path: Path | str) -> Mapping[str, Any]:
    try:
        text = _read_text(Path(path))
        documents = [document for document in yaml.load_all(text, _Loader) if document is not None]
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigurationError(f"{path}{line} is not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not valid YAML: {error}") from None
    if _written_out(documents) > MOST_VALUES:
        raise ConfigurationError(
            f"{path} has more than {MOST_VALUES:,} values when its aliases are written out: write it with fewer"
        )
    if len(documents) > 1:
        documents = [document for document in documents if isinstance(document, dict) and document.get("kind") == KIND]
    if len(documents) != 1:
        raise ConfigurationError(f"{path} holds {len(documents)} documents of kind {KIND}: it should hold one")
    document: Mapping[str, Any] = documents[0]
    return document


def _read_text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE_BYTES + 1)
    if len(content) > LARGEST_FILE_BYTES:
        raise ConfigurationError(f"{path} has more than {LARGEST_FILE_BYTES:,} bytes: a resource is far smaller")
    return content.decode("utf-8")


def _written_out(value: Any) -> int:
    """How many values there would be if nothing was shared: an alias in YAML costs the file next to nothing.

    Raises:
        RecursionError: an alias stands inside of its own anchor.
    """
    counts: dict[int, int] = {}

    def count(one: Any) -> int:
        if not isinstance(one, dict | list):
            return 1
        known = counts.get(id(one))
        if known == _UNDER_WAY:
            raise RecursionError
        if known is None:
            counts[id(one)] = _UNDER_WAY
            members = one.values() if isinstance(one, dict) else one
            known = counts[id(one)] = 1 + sum(map(count, members))
        return known

    return count(value)


def as_document(pipeline: EventPipeline) -> dict[str, Any]:
    """The resource as plain JSON with every default written out: what :func:`load` reads back into the same."""
    document: dict[str, Any] = as_builtins(pipeline)
    return document


class _Loader(yaml.SafeLoader):
    """YAML as the API server reads it: JSON's types only, and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse a key that is no string or comes twice: JSON has no such objects, and one value would be lost."""
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                # Not built first: written out it may be as long as aliases make it.
                problem = f"a key is a {key_node.id}, not a string"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            key = self.construct_object(key_node, deep=True)
            shown = repr(key)[:SHOWN_CHARACTERS]
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(problem=f"key {shown} is not a string", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {shown} comes twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Refuse what looks like a number, or is tagged as one, and is none: PyYAML lets Python's own error through."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError):
            kind = node.tag.rpartition(":")[2]
            raise yaml.MarkedYAMLError(
                problem=f"{str(node.value)[:40]!r} cannot be read as {kind}; a text is written in quotes",
                problem_mark=node.start_mark,
            ) from None


_JSON_TYPES = {f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null")}

# None is the constructor of all other tags, which refuses them.
_Loader.yaml_constructors = {
    tag: construct for tag, construct in yaml.SafeLoader.yaml_constructors.items() if tag is None or tag in _JSON_TYPES
}
# A date is a string in JSON, so it has to stay one here.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
