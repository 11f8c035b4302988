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
        text = Path(path).read_text(encoding="utf-8")
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
    if len(documents) > 1:
        documents = [document for document in documents if isinstance(document, dict) and document.get("kind") == KIND]
    if len(documents) != 1:
        raise ConfigurationError(f"{path} holds {len(documents)} documents of kind {KIND}: it should hold one")
    document: Mapping[str, Any] = documents[0]
    return document


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
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is not a string", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} comes twice", problem_mark=key_node.start_mark)
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
