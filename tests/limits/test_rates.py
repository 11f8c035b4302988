"""The arithmetic of the limits, without a server."""

from __future__ import annotations

import copy

from hypothesis import given
from hypothesis import strategies as st

from cloudscale.limits import rates as module
from cloudscale.limits.rates import Allowance, Budget, LocalRates, Rates, Sender

RATES = Rates(client=Budget(3, 2), window_limit=100, window_milliseconds=1000)

arrivals = st.lists(st.integers(min_value=0, max_value=3000), min_size=1, max_size=200)


def moments(pauses: list[int]) -> list[int]:
    now, result = 1_000_000, []
    for pause in pauses:
        now += pause
        result.append(now)
    return result


def test_a_client_may_send_its_burst_and_is_then_held_to_the_rate() -> None:
    limits = LocalRates(RATES)
    answers = [limits.admit(Sender("a"), now_milliseconds=1000) for _ in range(4)]
    assert [answer.refused_by for answer in answers] == [None, None, None, "client"]
    assert [answer.remaining for answer in answers] == [2, 1, 0, 0]
    assert answers[3].retry_after_seconds == 0.5
    assert limits.admit(Sender("a"), now_milliseconds=1500).refused_by is None


def test_one_client_does_not_spend_the_tokens_of_another() -> None:
    limits = LocalRates(RATES)
    for _ in range(4):
        limits.admit(Sender("a"), now_milliseconds=1000)
    assert limits.admit(Sender("b"), now_milliseconds=1000).refused_by is None


def test_all_clients_together_are_held_to_the_window() -> None:
    limits = LocalRates(Rates(client=Budget(10, 1), window_limit=2, window_milliseconds=1000))
    answers = [limits.admit(Sender(client), now_milliseconds=10_250) for client in "abc"]
    assert [answer.refused_by for answer in answers] == [None, None, "global"]
    assert answers[2].retry_after_seconds == 0.75


def test_the_last_window_counts_by_the_share_that_still_lies_in_the_sliding_one() -> None:
    limits = LocalRates(Rates(client=Budget(100, 1), window_limit=10, window_milliseconds=1000))
    assert all(limits.admit(Sender("a"), now_milliseconds=10_500).refused_by is None for _ in range(10))
    # Three quarters of the ten still count at a quarter of the next window: there is room for two.
    later = [limits.admit(Sender("b"), now_milliseconds=11_250).refused_by for _ in range(3)]
    assert later == [None, None, "global"]


def test_a_clock_that_goes_back_gives_no_tokens() -> None:
    limits = LocalRates(RATES)
    for _ in range(3):
        limits.admit(Sender("a"), now_milliseconds=5000)
    assert limits.admit(Sender("a"), now_milliseconds=1000).refused_by == "client"


def test_clients_not_seen_for_long_are_forgotten() -> None:
    limits = LocalRates(RATES)
    for number in range(module.TRACKED_SENDERS + 5):
        limits.admit(Sender(str(number)), now_milliseconds=1000)
    assert len(limits._senders) == module.TRACKED_SENDERS


@given(arrivals)
def test_no_span_ever_has_more_than_the_burst_and_what_was_refilled(pauses: list[int]) -> None:
    limits = LocalRates(Rates(client=Budget(5, 3), window_limit=10**9, window_milliseconds=1000))
    admitted = [now for now in moments(pauses) if limits.admit(Sender("a"), now_milliseconds=now).refused_by is None]
    for first, start in enumerate(admitted):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= 5 + (admitted[last] - start) * 3 / 1000 + 1e-6


@given(arrivals)
def test_waiting_as_long_as_told_is_enough(pauses: list[int]) -> None:
    limits = LocalRates(RATES)
    for now in moments(pauses):
        answer = limits.admit(Sender("a"), now_milliseconds=now)
        if answer.refused_by == "client":
            again = LocalRates(RATES)
            again._senders = copy.deepcopy(limits._senders)
            later = now + answer.retry_after_seconds * 1000 + 1
            assert again.admit(Sender("a"), now_milliseconds=later).refused_by is None


@given(arrivals)
def test_no_full_window_has_more_than_the_limit(pauses: list[int]) -> None:
    limits = LocalRates(Rates(client=Budget(10**6, 10**6), window_limit=7, window_milliseconds=1000))
    admitted = [now for now in moments(pauses) if limits.admit(Sender("a"), now_milliseconds=now).refused_by is None]
    counts: dict[int, int] = {}
    for now in admitted:
        counts[now // 1000] = counts.get(now // 1000, 0) + 1
    assert all(count <= 7 for count in counts.values())


def test_events_are_counted_beside_requests() -> None:
    rates = Rates(
        client=Budget(100, 100, 10, 5), window_limit=100, window_milliseconds=1000,
        global_events_burst=15, global_events_per_second=1,
    )  # fmt: skip
    limits = LocalRates(rates)
    assert limits.admit(Sender("a"), 10, now_milliseconds=0).refused_by is None
    assert limits.admit(Sender("a"), 1, now_milliseconds=0) == Allowance("client-events", 98, 0.2)
    assert limits.admit(Sender("a"), 0, now_milliseconds=0).refused_by is None
    assert limits.admit(Sender("b"), 6, now_milliseconds=0) == Allowance("global-events", 99, 1.0)
    assert limits.admit(Sender("b"), 5, now_milliseconds=0).refused_by is None


def test_a_request_that_is_refused_for_its_events_costs_a_request() -> None:
    rates = Rates(client=Budget(3, 1, 10, 1), window_limit=100, window_milliseconds=1000)
    limits = LocalRates(rates)
    refused_by = [limits.admit(Sender("a"), 10, now_milliseconds=0).refused_by for _ in range(4)]
    assert refused_by == [None, "client-events", "client-events", "client"]


BY_ALL = Rates(
    client=Budget(3, 1), key=Budget(5, 1), tenant=Budget(7, 1, 50, 10), window_limit=1000, window_milliseconds=1000
)


def refusals(limits: LocalRates, *senders: Sender) -> list[str | None]:
    return [limits.admit(sender, now_milliseconds=0).refused_by for sender in senders]


def test_a_request_is_counted_for_its_address_its_key_and_its_tenant() -> None:
    limits = LocalRates(BY_ALL)
    assert refusals(limits, *[Sender("a", "k", "t")] * 4) == [None, None, None, "client"]
    assert refusals(limits, *[Sender("b", "k", "t")] * 3) == [None, None, "key"]
    assert refusals(limits, *[Sender("c", "l", "t")] * 3) == [None, None, "tenant"]
    assert refusals(limits, Sender("c", "l", "u")) == [None]


def test_a_server_is_not_limited_by_its_address() -> None:
    limits = LocalRates(BY_ALL)
    assert refusals(limits, *[Sender("", "k", "t")] * 6) == [*[None] * 5, "key"]


def test_a_tenant_with_a_budget_of_its_own_is_limited_by_that_one() -> None:
    limits = LocalRates(BY_ALL)
    smaller = Sender("a", "k", "t", Budget(2, 1))
    assert refusals(limits, smaller, smaller, smaller) == [None, None, "tenant"]


def test_what_is_left_is_of_the_bucket_with_the_fewest_requests() -> None:
    limits = LocalRates(BY_ALL)
    assert limits.admit(Sender("a", "k", "t"), now_milliseconds=0) == Allowance(None, 2, 0.0, "client")
    assert limits.admit(Sender("", "k", "t"), now_milliseconds=0) == Allowance(None, 3, 0.0, "key")
    assert limits.admit(Sender("", "", "t"), now_milliseconds=0) == Allowance(None, 4, 0.0, "tenant")


def test_a_tenants_events_are_counted_over_its_keys() -> None:
    limits = LocalRates(BY_ALL)
    assert limits.admit(Sender("", "k", "t"), 30, now_milliseconds=0).refused_by is None
    assert limits.admit(Sender("", "l", "t"), 30, now_milliseconds=0) == Allowance("tenant-events", 4, 1.0, "key")
