"""The types of event that a resource adds, and the names of those that are built in."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cloudscale.pipeline.fields import Model
from cloudscale.pipeline.rules import Rule, rules

BUILT_IN_EVENT_TYPES = ("page_view", "user_action", "purchase")
INTERNAL_EVENT_TYPES = ("check_cart_status",)

_TAKEN = (*BUILT_IN_EVENT_TYPES, *INTERNAL_EVENT_TYPES)
NOT_BUILT_IN = Rule(
    f"!(self in {list(_TAKEN)})",
    f"is built in ({', '.join(_TAKEN)}): choose another name",
    lambda self: self not in _TAKEN,
)


class EventType(Model, frozen=True):
    """A type of event that the pipeline takes besides the built-in ones."""

    name: Annotated[
        str,
        Meta(
            description="Value of `eventType`; not one of the built-in types.",
            pattern=r"^[a-z][a-z0-9_]*$",
            min_length=1,
            max_length=64,
            extra_json_schema=rules(NOT_BUILT_IN),
        ),
    ]
    schema: Annotated[
        dict[str, Any],
        Meta(
            description="JSON Schema (draft 2020-12) of the event's own fields. It is closed in itself: `$ref` "
            "names one of its own `$defs`, and nothing outside is ever read.",
            extra_json_schema={"x-kubernetes-preserve-unknown-fields": True},
        ),
    ] = msgspec.field(default_factory=lambda: {"type": "object"})
