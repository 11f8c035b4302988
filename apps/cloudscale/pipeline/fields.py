"""The kinds of value that the resource's models are made of."""

from __future__ import annotations

import ipaddress
from typing import Annotated

import msgspec
from msgspec import Meta

from cloudscale.pipeline.rules import Rule, at_least, requests_within_limits, rules
from cloudscale.units import DURATION_PATTERN, QUANTITY_PATTERN

COUNTABLE = at_least("0s")
Duration = Annotated[str, Meta(pattern=DURATION_PATTERN, max_length=32, extra_json_schema=rules(COUNTABLE))]
"""Any duration, zero included. Its rule refuses what matches the pattern and still is too long to count."""

AT_LEAST_A_MILLISECOND = at_least("1ms")
PositiveDuration = Annotated[
    str, Meta(pattern=DURATION_PATTERN, max_length=32, extra_json_schema=rules(AT_LEAST_A_MILLISECOND))
]
"""A duration where zero would make no sense. Redis counts in milliseconds, so one is the least."""

BoundedDuration = Annotated[str, Meta(pattern=DURATION_PATTERN, max_length=32)]
"""A duration whose field says in a rule of its own between which bounds it lies."""

Quantity = Annotated[str, Meta(pattern=QUANTITY_PATTERN, max_length=32)]
ObjectName = Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)]
DataKey = Annotated[str, Meta(pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253)]
HostName = Annotated[
    str, Meta(pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", max_length=253)
]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]


def _is_network(text: str) -> bool:
    """Whether ``text`` is what CEL's ``isCIDR`` takes: an address without a zone, and its prefix length."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


IS_NETWORK = Rule("isCIDR(self)", "is not a network like 10.0.0.0/8 or fd00::/8", _is_network)
Cidr = Annotated[
    str,
    Meta(
        pattern=r"^[0-9a-fA-F:.]+/[0-9]{1,3}$",
        max_length=49,
        extra_json_schema=rules(IS_NETWORK),
    ),
]


class Model(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A part of the resource: immutable, camelCase on the wire, unknown fields refused."""


class SecretKey(Model, frozen=True):
    """Names one key of a Secret in the pipeline's namespace."""

    name: Annotated[ObjectName, Meta(description="Name of the Secret.")]
    key: Annotated[DataKey, Meta(description="Key in the Secret's data.")]


class Resources(Model, frozen=True):
    """Compute resources of one pod: requests and limits by resource name."""

    requests: Annotated[dict[str, Quantity], Meta(description="What the scheduler reserves.", max_length=16)] = {}
    limits: Annotated[dict[str, Quantity], Meta(description="What the pod may not exceed.", max_length=16)] = {}


REQUESTS_WITHIN_LIMITS = Rule(
    "self.requests.all(name, !(name in self.limits) || "
    "quantity(self.requests[name]).compareTo(quantity(self.limits[name])) <= 0)",
    "requests must not exceed limits",
    requests_within_limits,
    field="requests",
)
RESOURCES_RULES = rules(REQUESTS_WITHIN_LIMITS)
