"""LIKE patterns to GLOB patterns, because SQLite's LIKE ignores case."""

from cloudscale.emulators.cosmos.errors import bad_request


def like_to_glob(pattern: str, escape: str | None) -> str:
    """``%`` and ``_`` become ``*`` and ``?``; ``[a-c]`` and ``[^a]`` mean the same in both."""
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == escape and position < len(pattern):
            parts.append(_literal(pattern[position]))
            position += 1
        elif character == "%":
            parts.append("*")
        elif character == "_":
            parts.append("?")
        elif character == "[":
            end = pattern.find("]", position + 1)
            if end < 0:
                raise bad_request(f"The LIKE pattern '{pattern[:100]}' has an unclosed '['.")
            parts.append(pattern[position - 1 : end + 1])
            position = end + 1
        else:
            parts.append(_literal(character))
    return "".join(parts)


def _literal(character: str) -> str:
    return f"[{character}]" if character in "*?[" else character
