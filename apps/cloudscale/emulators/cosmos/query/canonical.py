"""One JSON text for equal values, so that objects and arrays can be compared and grouped."""

import msgspec


def canonical_json(text: str | None) -> str | None:
    """The JSON text with members in the order of their names and all numbers as the doubles that they are.

    As an SQL function: None is undefined. What does not fit into doubles is compared as it is written.
    """
    # A string, the most frequent value, can be written in one way only.
    if text is None or text.startswith('"'):
        return text
    try:
        return msgspec.json.encode(_plain(msgspec.json.decode(text)), order="deterministic").decode()
    except (msgspec.MsgspecError, RecursionError, OverflowError):
        return text


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(element) for element in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        # A double, and 0 for -0 too.
        return value + 0.0
    return value
