"""Web pages that may send events to ingestion from origins of their own."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta

from cloudscale.pipeline.fields import Model
from cloudscale.pipeline.rules import Rule, rules

MOST_ORIGINS = 50
MOST_CHARACTERS = 255

_ORIGIN = r"^https?://([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?$"
_DEFAULT_PORT = r"^(https://.*:443|http://.*:80)$"
ORIGIN_RULE = (
    "must be an origin as browsers send it: scheme, host in small letters, and a port unless it is the scheme's own, "
    "such as https://shop.example; no path, no *"
)


def is_origin(text: str) -> bool:
    """Whether a browser sends an ``Origin`` header in just these letters (RFC 6454, section 6.2)."""
    is_one = len(text) <= MOST_CHARACTERS and "\n" not in text and re.match(_ORIGIN, text) is not None
    return is_one and re.match(_DEFAULT_PORT, text) is None


# An origin with a * would let in every page that anybody may put under such a name, and browsers match none.
EXACT_ORIGIN = Rule(f"self.matches(r'{_ORIGIN}') && !self.matches(r'{_DEFAULT_PORT}')", ORIGIN_RULE, is_origin)

PageOrigin = Annotated[str, Meta(max_length=MOST_CHARACTERS, extra_json_schema=rules(EXACT_ORIGIN))]


class Browser(Model, frozen=True):
    """The pages from which browsers may send events."""

    origins: Annotated[
        tuple[PageOrigin, ...],
        Meta(
            description="Origins of the pages, such as https://shop.example. Scripts there may send events and read "
            "the answers (CORS), and beacons from there may have a public key in their body.",
            max_length=MOST_ORIGINS,
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ] = ()
