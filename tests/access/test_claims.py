"""What a token claims: when it holds, for whom it is, and what it allows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.access.caller import NotAuthenticatedError
from cloudscale.access.claims import LATEST, SKEW_SECONDS, check_audience, check_times, scopes_of, tenant_of
from cloudscale.access.scopes import Scope

NOW_SECONDS = 1_800_000_000
TIMES = st.integers(NOW_SECONDS - 120, NOW_SECONDS + 120) | st.floats(NOW_SECONDS - 120, NOW_SECONDS + 120)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(end=TIMES, begin=TIMES | st.none(), issued=TIMES | st.none())
def test_a_token_holds_from_its_begin_to_its_end_with_30_seconds_of_skew(
    end: float, begin: float | None, issued: float | None
) -> None:
    begins = {name: value for name, value in (("nbf", begin), ("iat", issued)) if value is not None}
    holds = end + 30 > NOW_SECONDS and all(value <= NOW_SECONDS + 30 for value in begins.values())

    if holds:
        assert check_times({"exp": end, **begins}, now_seconds=NOW_SECONDS) == end + SKEW_SECONDS == end + 30
    else:
        with pytest.raises(NotAuthenticatedError):
            check_times({"exp": end, **begins}, now_seconds=NOW_SECONDS)


@given(value=JSON, name=st.sampled_from(["exp", "nbf", "iat"]))
def test_a_time_is_a_number_or_the_token_is_refused(value: Any, name: str) -> None:
    claims = {"exp": NOW_SECONDS + 10} | {name: value}
    is_time = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LATEST
    holds = is_time and (value > NOW_SECONDS - 30 if name == "exp" else value <= NOW_SECONDS + 30)

    if holds:
        assert check_times(claims, now_seconds=NOW_SECONDS) > NOW_SECONDS
    else:
        with pytest.raises(NotAuthenticatedError, match=None if is_time else "is no time"):
            check_times(claims, now_seconds=NOW_SECONDS)


@given(value=JSON)
def test_an_audience_is_named_to_the_letter_or_the_token_is_refused(value: Any) -> None:
    with pytest.raises(NotAuthenticatedError, match="must name cloudscale-test or events-test"):
        check_audience({"aud": value}, ("cloudscale-test", "events-test"))


@given(others=st.lists(st.text(), max_size=4), place=st.integers(0, 4))
def test_one_audience_of_several_is_enough(others: list[str], place: int) -> None:
    others.insert(place, "events")

    check_audience({"aud": others}, ("cloudscale", "events"))


@given(name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", fullmatch=True))
def test_a_tenant_is_taken_as_it_is_written(name: str) -> None:
    assert tenant_of({"tenant_id": name}, "tenant_id") == name


@given(value=JSON)
def test_scopes_are_known_ones_or_the_token_is_refused(value: Any) -> None:
    try:
        scopes = scopes_of({"scope": value}, "scope")
    except NotAuthenticatedError:
        assert not isinstance(value, str)
    else:
        assert scopes <= set(Scope)
        assert isinstance(value, str | list)


@given(scopes=st.sets(st.sampled_from(Scope)), others=st.lists(st.from_regex(r"[a-z.:]+", fullmatch=True)))
def test_text_and_array_of_the_same_scopes_mean_the_same(scopes: set[Scope], others: list[str]) -> None:
    listed = [*map(str, scopes), *(other for other in others if other not in set(Scope))]

    assert scopes_of({"scope": listed}, "scope") == scopes_of({"scope": " ".join(listed)}, "scope") == scopes
