"""Whether one document meets a condition: ``FROM c WHERE …``, as a patch carries it."""

from typing import Any

import msgspec

from cloudscale.emulators.cosmos.query.ast import UNDEFINED
from cloudscale.emulators.cosmos.query.compiler import Compiler
from cloudscale.emulators.cosmos.query.parser import parse_condition
from cloudscale.emulators.cosmos.query.scope import DOCUMENT, Compilation, Deadline, Scope
from cloudscale.emulators.cosmos.query.selection import compile_subquery
from cloudscale.emulators.cosmos.query.values import decode_document

# A condition is looked at inside a write, which others wait for.
CONDITION_SECONDS = 1.0
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def holds(condition: str, document: bytes) -> bool:
    """Whether the condition is true of the document's JSON text; raises CosmosError 400 for a bad condition."""
    alias, expression = parse_condition(condition)
    compilation = Compilation({}, deadline=Deadline(CONDITION_SECONDS))
    test = Compiler(compilation, Scope({alias: DOCUMENT}), compile_subquery).compile(expression)
    values: list[Any] = [UNDEFINED] * compilation.places
    values[DOCUMENT] = decode_document(_decoder, document)
    return test(values) is True
