"""Rules over more than one field: each is written once, in CEL for the API server and in Python for everywhere else.

JSON Schema says what one value may be. What values mean together (``min`` must not exceed ``max``) the API server is
told in CEL through ``x-kubernetes-validations``; :mod:`cloudscale.pipeline.validation` evaluates the Python twin over
the same value, so that ``cloudscale run`` refuses what ``kubectl apply`` refuses, at the same path with the same words.
A rule stands beside the model that it is about; :mod:`cloudscale.pipeline.rule_registry` lists them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cloudscale.errors import ConfigurationError
from cloudscale.units import parse_duration, parse_quantity

if TYPE_CHECKING:
    from collections.abc import Callable

RULES_KEYWORD = "x-kubernetes-validations"


@dataclass(frozen=True)
class Rule:
    """A condition that the value at one place of the resource must meet.

    ``cel`` reads the value as ``self``; ``holds`` gets the same value as plain JSON with defaults applied. A transition
    rule compares with ``oldSelf`` and therefore has no twin in Python. ``field`` is the path, relative to the value,
    of the field to blame. Make rules at module level: annotations are evaluated where a lambda sees no globals.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool] | None
    field: str = ""

    def as_validation(self) -> dict[str, str]:
        """The entry of ``x-kubernetes-validations`` that enforces this rule at admission."""
        entry = {"rule": self.cel, "message": self.message}
        return entry | {"fieldPath": f".{self.field}"} if self.field else entry


def rules(*given: Rule) -> dict[str, object]:
    """Attach rules to a field or a model, as ``Meta(extra_json_schema=rules(...))``."""
    return {RULES_KEYWORD: [rule.as_validation() for rule in given]}


def at_least(text: str) -> Rule:
    """The duration must be this long at the least."""
    least = parse_duration(text)
    return Rule(
        f"duration(self) >= duration('{text}')", f"must be at least {text}", lambda self: parse_duration(self) >= least
    )


def between(shortest: str, longest: str) -> Rule:
    """The duration must lie between these two, both included."""
    low, high = parse_duration(shortest), parse_duration(longest)
    return Rule(
        f"duration(self) >= duration('{shortest}') && duration(self) <= duration('{longest}')",
        f"must be between {shortest} and {longest}",
        lambda self: low <= parse_duration(self) <= high,
    )


def excludes(one: str, other: str) -> Rule:
    """At most one of the two fields may be given."""
    return Rule(
        f"!(has(self.{one}) && has(self.{other}))",
        f"{one} and {other} exclude each other: give one of them",
        lambda self: not (one in self and other in self),
        field=other,
    )


IMMUTABLE = Rule("self == oldSelf", "is immutable: delete the pipeline and create it anew to change it", None)
MIN_UP_TO_MAX = Rule(
    "self.min <= self.max", "min must not exceed max", lambda self: bool(self["min"] <= self["max"]), field="min"
)


def is_satisfied(rule: Rule, value: object) -> bool:
    """Whether ``value`` meets the rule. A value that cannot be read as the unit it claims to be does not meet it."""
    try:
        return rule.holds is None or rule.holds(value)
    except (ConfigurationError, OverflowError):
        return False


def requests_within_limits(resources: dict[str, dict[str, str]]) -> bool:
    """Whether no requested amount exceeds the limit of the same resource."""
    requests, limits = resources["requests"], resources["limits"]
    return all(parse_quantity(requests[name]) <= parse_quantity(limits[name]) for name in requests.keys() & limits)
