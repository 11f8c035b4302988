"""What the rules over a user's past find suspicious, and what not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.pipeline.processing import ImpossibleTravel, SharedValue, UnusualAmount
from cloudscale.worker.decoding import Accepted
from cloudscale.worker.fraud_rules import (
    ImpossibleTravelRule,
    Rule,
    SharedValueRule,
    UnusualAmountRule,
    distance_kilometers,
)

if TYPE_CHECKING:
    from cloudscale.limits.recent import Seen

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
BERLIN = {"latitude": 52.52, "longitude": 13.405}
POTSDAM = {"latitude": 52.39, "longitude": 13.06}
TOKYO = {"latitude": 35.68, "longitude": 139.69}


def event(name: str = "e", *, kind: str = "purchase", user: str | None = "ada", at: datetime = NOW) -> Accepted:
    return Accepted(
        id=name,
        partition_key="t:2026-05",
        event_type=kind,
        tenant_id="t",
        payload_hash="",
        acceptance="",
        received_at=NOW,
        created_at=at,
        correlation_id="c",
        user_id=user,
    )


def look(rule: Rule, document: dict[str, Any], name: str = "e", **fields: Any) -> Seen:
    seen = rule.look(event(name, **fields), document)
    assert seen is not None
    return seen


def paid(amount: float, name: str = "e") -> Seen:
    return look(UnusualAmountRule(UnusualAmount()), {"amount": amount, "currency": "EUR"}, name)


def test_a_purchase_far_above_what_the_user_pays_is_suspicious() -> None:
    rule = UnusualAmountRule(UnusualAmount(factor=10, after_purchases=3))
    before = [paid(20.0), paid(25.0), paid(30.0), paid(900.0)]

    assert rule.evaluate(paid(275.0), before) is None
    assert rule.evaluate(paid(275.01), before) == {"amount": 275.01, "usual": 27.5, "purchases": 4, "factor": 10}


def test_the_first_purchases_of_a_user_are_not_judged() -> None:
    rule = UnusualAmountRule(UnusualAmount(after_purchases=3))

    assert rule.evaluate(paid(1e9), [paid(1.0), paid(1.0)]) is None


def test_to_somebody_who_got_all_for_nothing_no_price_is_unusual() -> None:
    assert UnusualAmountRule(UnusualAmount(after_purchases=1)).evaluate(paid(5.0), [paid(0.0)]) is None


def test_amounts_of_two_currencies_and_users_are_not_compared() -> None:
    rule = UnusualAmountRule(UnusualAmount())
    subjects = {
        look(rule, {"amount": 1, "currency": currency}, user=user).subject
        for currency in ("EUR", "JPY")
        for user in ("ada", "bob")
    }

    assert len(subjects) == 4


@pytest.mark.parametrize(("kind", "user"), [("page_view", "ada"), ("purchase", None)])
def test_only_purchases_of_a_user_have_an_amount_to_judge(kind: str, user: str | None) -> None:
    document = {"amount": 1, "currency": "EUR"}

    assert UnusualAmountRule(UnusualAmount()).look(event(kind=kind, user=user), document) is None


def test_a_value_with_many_users_is_suspicious_and_is_not_kept_itself() -> None:
    rule = SharedValueRule(SharedValue(property="card", users=2), window=timedelta(hours=24))
    ada, bob, eve = (look(rule, {"properties": {"card": "4111"}}, user=user) for user in ("ada", "bob", "eve"))

    assert ada.subject == bob.subject
    assert "4111" not in ada.subject + ada.member
    assert rule.evaluate(bob, [ada]) is None
    assert rule.evaluate(eve, [bob, ada]) == {"property": "card", "users": 3, "limit": 2, "windowSeconds": 86400.0}


@pytest.mark.parametrize("document", [{}, {"card": None}, {"card": True}, {"card": ""}, {"card": [1]}, {"card": 1.5}])
def test_what_is_no_value_of_a_card_is_not_looked_at(document: dict[str, Any]) -> None:
    rule = SharedValueRule(SharedValue(property="card"), window=timedelta(hours=24))

    assert rule.look(event(), document) is None


def test_a_user_in_two_places_is_suspicious() -> None:
    rule = ImpossibleTravelRule(ImpossibleTravel())
    there = look(rule, {"location": BERLIN}, at=NOW - timedelta(hours=2))
    here = look(rule, {"properties": {"location": TOKYO}})

    evidence = rule.evaluate(here, [there])

    assert evidence is not None
    assert evidence.items() >= {"from": BERLIN | {"longitude": 13.405}, "to": TOKYO, "seconds": 7200.0}.items()
    assert evidence["kilometers"] == pytest.approx(8920, abs=30)


def test_a_journey_that_one_can_make_is_not_suspicious() -> None:
    rule = ImpossibleTravelRule(ImpossibleTravel())
    flown = look(rule, {"location": BERLIN}, at=NOW - timedelta(hours=10))
    nearby = look(rule, {"location": POTSDAM}, at=NOW - timedelta(seconds=1))

    assert rule.evaluate(look(rule, {"location": TOKYO}), [flown]) is None
    assert rule.evaluate(look(rule, {"location": BERLIN}), [nearby]) is None
    assert rule.evaluate(look(rule, {"location": BERLIN}), []) is None


@pytest.mark.parametrize(
    "place", [None, "Berlin", {"latitude": 91, "longitude": 0}, {"latitude": 1}, {"latitude": True, "longitude": 0}]
)
def test_what_is_no_place_is_not_looked_at(place: object) -> None:
    assert ImpossibleTravelRule(ImpossibleTravel()).look(event(), {"location": place}) is None


PLACES = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@given(PLACES, PLACES)
def test_a_distance_is_the_same_both_ways_and_at_most_half_the_equator(
    one: tuple[float, float], other: tuple[float, float]
) -> None:
    distance = distance_kilometers(one, other)

    assert distance == pytest.approx(distance_kilometers(other, one), abs=1e-6)
    assert 0 <= distance <= 20_016
    assert distance_kilometers(one, one) == 0
