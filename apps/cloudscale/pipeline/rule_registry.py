"""Every rule over more than one field, by name: what :mod:`cloudscale.pipeline.validation` can evaluate.

A rule that a model attaches to its schema and that is not listed here would hold in Kubernetes only; a test compares
the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale.pipeline import (
    access,
    archive,
    backends,
    browser,
    event_types,
    fields,
    outlets,
    processing,
    rules,
    sign_in,
    spec,
    surface,
)

if TYPE_CHECKING:
    from cloudscale.pipeline.rules import Rule

RULES: tuple[Rule, ...] = (
    rules.IMMUTABLE,
    rules.MIN_UP_TO_MAX,
    fields.COUNTABLE,
    fields.AT_LEAST_A_MILLISECOND,
    fields.IS_NETWORK,
    fields.REQUESTS_WITHIN_LIMITS,
    access.PROTECTED_ISSUER,
    archive.FROM_A_SECOND_TO_AN_HOUR,
    archive.ONE_PLACE_OF_THE_ARCHIVE,
    browser.EXACT_ORIGIN,
    backends.LARGE_ENOUGH,
    backends.LOCKABLE,
    event_types.NOT_BUILT_IN,
    outlets.FROM_A_SECOND_TO_A_MINUTE,
    outlets.FROM_A_SECOND_TO_A_DAY,
    outlets.PROTECTED_WEBHOOK,
    processing.AT_LEAST_A_SECOND,
    processing.STARTS_AT_ZERO,
    processing.DEPTHS_RISE,
    processing.RESTORES_IN_TIME,
    sign_in.PROTECTED_ORIGIN,
    sign_in.ONE_WAY_TO_THE_TENANTS,
    surface.ONE_WAY_TO_THE_TRACES,
    spec.ONE_WAY_TO_THE_QUEUE,
    spec.ONE_WAY_TO_THE_STORE,
    spec.SCORES_KNOWN_TYPES,
    spec.NAMES_AN_IDENTITY,
)
