"""From what the provider says of a person to what the person may see and do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cloudscale.dashboard.access import Viewer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cloudscale.pipeline import RoleRule, SignIn

STRENGTHS: Final = {"viewer": 0, "operator": 1, "admin": 2}
NAME_CLAIMS: Final = ("preferred_username", "email", "name", "sub")
"""In this order: what most issuers keep unique comes before what people choose freely."""
LONGEST_NAME: Final = 100
MOST_TENANTS: Final = 1000
LONGEST_TENANT: Final = 256


def name_of(claims: Mapping[str, Any]) -> str:
    """What to call the person, in lists and in the log."""
    for claim in NAME_CLAIMS:
        value = claims.get(claim)
        if isinstance(value, str) and (name := "".join(filter(str.isprintable, value)).strip()):
            return name[:LONGEST_NAME]
    return "somebody"


def roles_of(claims: Mapping[str, Any], spec: SignIn) -> tuple[str, ...]:
    """The values of the roles claim that some rule names; what no rule names is nobody's business here."""
    named = {rule.value for rule in spec.roles}
    return tuple(sorted(named.intersection(_texts(claims.get(spec.roles_claim)))))


def tenants_of(claims: Mapping[str, Any], spec: SignIn) -> dict[str, tuple[str, ...]]:
    """The person's tenants by the claims that rules take them from, at the most :data:`MOST_TENANTS` of each."""
    named = sorted({rule.tenants_claim for rule in spec.roles if rule.tenants_claim})
    return {claim: tuple(_texts(claims.get(claim)))[:MOST_TENANTS] for claim in named}


def missing_claims(claims: Mapping[str, Any], spec: SignIn) -> set[str]:
    """The claims that the rules read and that are not there."""
    return {spec.roles_claim, *(rule.tenants_claim for rule in spec.roles if rule.tenants_claim)} - claims.keys()


def viewer_of_person(
    name: str, *, roles: Sequence[str], tenants: Mapping[str, Sequence[str]], rules: Iterable[RoleRule]
) -> Viewer | None:
    """What a person may see and do; None if no rule lets them in.

    Of the rules that match, those with the strongest role count, each for its tenants.
    """
    given = [(rule.role, _tenants(rule, tenants)) for rule in rules if rule.value in roles]
    usable = [(role, seen) for role, seen in given if seen is None or seen]
    if not usable:
        return None
    strongest = max((role for role, _ in usable), key=STRENGTHS.__getitem__)
    seen: set[str] | None = set()
    for role, some in usable:
        if role == strongest:
            seen = None if seen is None or some is None else seen | some
    strength = STRENGTHS[strongest]
    return Viewer(
        name,
        None if seen is None else frozenset(seen),
        may_act=strength >= STRENGTHS["operator"],
        may_manage=strength >= STRENGTHS["admin"],
    )


def _tenants(rule: RoleRule, by_claim: Mapping[str, Sequence[str]]) -> set[str] | None:
    if rule.tenants_claim is not None:
        return set(by_claim.get(rule.tenants_claim, ()))
    return None if rule.tenants is None else set(rule.tenants)


def _texts(claim: object) -> list[str]:
    """A claim's texts: itself, or those of a list."""
    values = claim if isinstance(claim, list) else [claim]
    return [value for value in values if isinstance(value, str) and 0 < len(value) <= LONGEST_TENANT]
