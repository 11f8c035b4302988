"""The built-in functions of Cosmos SQL, by name.

An argument of the wrong type makes a function undefined, and so does an undefined one, except for the type checks.
"""

from collections.abc import Sequence
from typing import Any, Final

from cloudscale.emulators.cosmos.errors import bad_request
from cloudscale.emulators.cosmos.query import (
    array_functions,
    conversion_functions,
    date_functions,
    number_functions,
    text_functions,
)
from cloudscale.emulators.cosmos.query.ast import Call
from cloudscale.emulators.cosmos.query.lexer import not_supported
from cloudscale.emulators.cosmos.query.scope import Compilation, Evaluate, Values
from cloudscale.emulators.cosmos.query.signatures import Function

_FUNCTIONS: Final[dict[str, Function]] = {
    **text_functions.FUNCTIONS,
    **number_functions.FUNCTIONS,
    **array_functions.FUNCTIONS,
    **conversion_functions.FUNCTIONS,
    **date_functions.FUNCTIONS,
}
# What the service has and the emulator has not.
_MISSING: Final = frozenset(
    {"DOCUMENTID", "VECTORDISTANCE", "RRF", "ST_AREA", "ST_DISTANCE", "ST_INTERSECTS", "ST_ISVALID"}
    | {"ST_ISVALIDDETAILED", "ST_WITHIN", "FULLTEXTCONTAINS", "FULLTEXTCONTAINSALL", "FULLTEXTCONTAINSANY"}
    | {"FULLTEXTSCORE", "ARRAY_AVG", "ARRAY_MAX", "ARRAY_MEDIAN", "ARRAY_MIN", "ARRAY_SUM", "LASTINDEXOF"}
    | {"CONTAINS_ALL_CI", "CONTAINS_ALL_CS", "CONTAINS_ANY_CI", "CONTAINS_ANY_CS"}
    | {"AGO", "DATETIMEFORMAT", "DAY", "DAYOFWEEK", "MONTH", "NOW", "YEAR"}
)


def compile_call(compilation: Compilation, call: Call, arguments: Sequence[Evaluate]) -> Evaluate:
    """A function call; raises CosmosError 400 for an unknown function or a wrong number of arguments."""
    if call.name in _MISSING:
        raise not_supported(f"The function {call.name}", call.position)
    moment = date_functions.at_query_time(call.name, compilation.moment)
    if moment is not None and not arguments:
        return lambda _: moment
    function = _FUNCTIONS.get(call.name)
    if function is None:
        raise bad_request(f"'{call.name}' at position {call.position} is not a recognized built-in function name.")
    if not function.least <= len(arguments) <= function.most:
        raise bad_request(f"{call.name} at position {call.position} cannot take {len(arguments)} arguments.")
    compute, step = function.compute, compilation.deadline.step
    if len(arguments) == 1:
        (only,) = arguments
        return lambda values: compute(only(values))

    def evaluate(values: Values) -> Any:
        step()
        return compute(*[argument(values) for argument in arguments])

    return evaluate
