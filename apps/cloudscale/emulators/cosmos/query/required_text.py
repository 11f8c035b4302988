"""What the text of a document must contain to meet a condition, so that SQLite leaves out most of the others.

Reading JSON costs far more than looking for bytes. A member that equals a text without escaped characters stands in
the document as it is, or some of the document is written with escapes, which begin with a backslash; ``true``,
``false`` and ``null`` are always written the same. Numbers are not: 1 may be 1.0 or 10e-1.
"""

import re
from collections.abc import Collection, Sequence
from typing import Final

from cloudscale.emulators.cosmos.bindings import Bindings
from cloudscale.emulators.cosmos.property_path import SYSTEM_PROPERTIES
from cloudscale.emulators.cosmos.query.narrowing import Comparison

LONGEST_TEXT: Final = 100
"""Characters that are looked for of a longer one: SQLite limits patterns, and long ones may take long."""
_SPECIAL: Final = re.compile(r"[*?[]")
_NAMED_VALUES: Final = {True: "true", False: "false", None: "null"}


def required_texts(comparisons: Sequence[Comparison], computed: Collection[str]) -> list[str]:
    """The texts that a document contains, or else a backslash, if it meets all the comparisons.

    System properties and those named in ``computed`` are in no document's text, so they require none.
    """
    texts = []
    for operator, path, value in comparisons:
        if operator != "=" or path[0] in SYSTEM_PROPERTIES or path[0] in computed:
            continue
        if value is None or isinstance(value, bool):
            texts.append(_NAMED_VALUES[value])
        elif isinstance(value, str) and _is_written_plainly(value):
            texts.append(value[:LONGEST_TEXT])
    return texts


def _is_written_plainly(text: str) -> bool:
    return bool(text) and not any(each in '"\\' or each < " " or "\ud800" <= each <= "\udfff" for each in text)


def containing(texts: Sequence[str], bindings: Bindings) -> list[str]:
    """SQL conditions on ``d``: its text contains each of ``texts``, or something that is escaped."""
    # GLOB looks for bytes, where instr counts characters: a third of the time.
    patterns = ["*" + _SPECIAL.sub("[\\g<0>]", text) + "*" for text in texts]
    return [f"(d.body GLOB {bindings.bind(pattern)} OR d.body GLOB '*\\*')" for pattern in patterns]
