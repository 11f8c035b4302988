"""Clients without a token are refused from memory, for exactly as long as they have none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudscale.ingestion import exhausted_clients as module
from cloudscale.ingestion.exhausted_clients import ExhaustedClients
from cloudscale.limits.rates import Allowance, LocalRates, Rates


def test_a_client_is_refused_until_it_has_a_token_again() -> None:
    clients = ExhaustedClients()
    clients.note("192.0.2.1", Allowance("client", 0, 2.0), now_seconds=10.0)
    refusal = clients.refusal_of("192.0.2.1", now_seconds=11.5)
    assert refusal == Allowance("client", 0, 0.5)
    assert clients.refusal_of("192.0.2.1", now_seconds=12.0) is None


def test_another_client_and_another_limit_are_asked_for() -> None:
    clients = ExhaustedClients()
    clients.note("192.0.2.1", Allowance("client", 0, 2.0), now_seconds=0.0)
    clients.note("192.0.2.2", Allowance("global", 5, 2.0), now_seconds=0.0)
    clients.note("192.0.2.3", Allowance(None, 5), now_seconds=0.0)
    assert [clients.refusal_of(f"192.0.2.{last}", now_seconds=0.1) for last in (2, 3, 4)] == [None, None, None]


def test_the_memory_is_bounded() -> None:
    clients = ExhaustedClients()
    for number in range(module.TRACKED_EXHAUSTED_CLIENTS + 1):
        clients.note(str(number), Allowance("client", 0, 9.0), now_seconds=0.0)
    assert clients.refusal_of("0", now_seconds=0.0) is None
    assert clients.refusal_of("1", now_seconds=0.0) is not None


@given(
    burst=st.integers(1, 5),
    per_second=st.sampled_from([0.5, 1, 3, 10]),
    gaps=st.lists(st.integers(0, 1500), max_size=40),
)
def test_what_is_remembered_is_what_the_limits_would_have_said(burst: int, per_second: float, gaps: list[int]) -> None:
    rates = Rates(burst=burst, per_second=per_second, window_limit=10**9, window_milliseconds=60_000)
    asked, remembering, clients = LocalRates(rates), LocalRates(rates), ExhaustedClients()
    now = 1_000_000
    for gap in gaps:
        now += gap
        said = asked.admit("c", now_milliseconds=now)
        answer = clients.refusal_of("c", now_seconds=now / 1000)
        if answer is None:
            answer = remembering.admit("c", now_milliseconds=now)
            clients.note("c", answer, now_seconds=now / 1000)
        assert answer.refused_by == said.refused_by
