from __future__ import annotations

from typing import Any

import pytest

from cloudscale.dashboard.access import Viewer
from cloudscale.dashboard.roles import LONGEST_NAME, MOST_TENANTS, missing_claims, name_of, roles_of, tenants_of
from cloudscale.dashboard.roles import viewer_of_person as viewer
from cloudscale.pipeline import RoleRule, SignIn

RULES = (
    RoleRule(value="watchers", role="viewer"),
    RoleRule(value="admins", role="admin"),
    RoleRule(value="contoso", role="operator", tenants=("contoso",)),
    RoleRule(value="fabrikam", role="operator", tenants=("fabrikam", "litware")),
    RoleRule(value="customers", role="operator", tenants_claim="tenant"),
)
SPEC = SignIn(issuer="https://login.example.com", client_id="dashboard", origin="https://x.example", roles=RULES)


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ([], None),
        (["strangers"], None),
        (["watchers"], Viewer("ann")),
        (["admins", "watchers"], Viewer("ann", may_act=True, may_manage=True)),
        (["contoso"], Viewer("ann", frozenset({"contoso"}), may_act=True)),
        (["contoso", "fabrikam"], Viewer("ann", frozenset({"contoso", "fabrikam", "litware"}), may_act=True)),
        # What the stronger role does for some tenants, the weaker one must not make it do for all.
        (["contoso", "watchers"], Viewer("ann", frozenset({"contoso"}), may_act=True)),
        (["contoso", "admins"], Viewer("ann", may_act=True, may_manage=True)),
        (["customers"], Viewer("ann", frozenset({"northwind"}), may_act=True)),
        (["customers", "contoso"], Viewer("ann", frozenset({"contoso", "northwind"}), may_act=True)),
    ],
)
def test_the_strongest_role_counts_for_the_tenants_of_its_rules(roles: list[str], expected: Viewer | None) -> None:
    assert viewer("ann", roles=roles, tenants={"tenant": ("northwind",)}, rules=RULES) == expected


def test_a_rule_whose_claim_names_no_tenant_gives_nothing() -> None:
    assert viewer("ann", roles=["customers"], tenants={}, rules=RULES) is None
    assert viewer("ann", roles=["customers", "watchers"], tenants={"tenant": ()}, rules=RULES) == Viewer("ann")


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ("watchers", ("watchers",)),
        (["x", "watchers", "admins", "watchers"], ("admins", "watchers")),
        (["watchers ", "Watchers", ["watchers"], {"watchers": 1}, 1, None], ()),
        ("watchers admins", ()),
        ({"watchers": True}, ()),
        (None, ()),
    ],
)
def test_only_values_that_a_rule_names_are_kept(claim: Any, expected: tuple[str, ...]) -> None:
    assert roles_of({"groups": claim}, SPEC) == expected


def test_tenants_are_texts_and_bounded() -> None:
    many = [f"t{number}" for number in range(MOST_TENANTS + 5)]
    assert tenants_of({"tenant": ["a", "", 5, "x" * 300, "b"]}, SPEC) == {"tenant": ("a", "b")}
    assert len(tenants_of({"tenant": many}, SPEC)["tenant"]) == MOST_TENANTS
    assert tenants_of({}, SPEC) == {"tenant": ()}


def test_claims_that_the_rules_read_are_missed() -> None:
    assert missing_claims({}, SPEC) == {"groups", "tenant"}
    assert missing_claims({"groups": [], "tenant": "x"}, SPEC) == set()


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"sub": "7", "name": "Ann", "email": "a@example.com", "preferred_username": "ann"}, "ann"),
        ({"sub": "7", "name": "Ann", "email": "a@example.com"}, "a@example.com"),
        ({"sub": "7", "name": "\x1b[31mAnn\u202e\n"}, "[31mAnn"),
        ({"sub": "7", "name": "\n", "email": 5}, "7"),
        ({"sub": "x" * 500}, "x" * LONGEST_NAME),
    ],
)
def test_a_person_is_called_what_the_issuer_keeps_unique(claims: dict[str, Any], expected: str) -> None:
    assert name_of(claims) == expected
