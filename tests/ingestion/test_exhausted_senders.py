"""Senders without a token are refused from memory, for exactly as long as they have none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudscale.ingestion import exhausted_senders as module
from cloudscale.ingestion.exhausted_senders import ExhaustedSenders
from cloudscale.limits.rates import Allowance, Budget, LocalRates, Rates, Sender


def test_a_sender_is_refused_until_it_has_a_token_again() -> None:
    senders = ExhaustedSenders()
    senders.note(Sender("192.0.2.1"), Allowance("client", 0, 2.0), now_seconds=10.0)
    refusal = senders.refusal_of(Sender("192.0.2.1"), now_seconds=11.5)
    assert refusal == Allowance("client", 0, 0.5)
    assert senders.refusal_of(Sender("192.0.2.1"), now_seconds=12.0) is None


def test_another_sender_and_another_limit_are_asked_for() -> None:
    senders = ExhaustedSenders()
    senders.note(Sender("192.0.2.1"), Allowance("client", 0, 2.0), now_seconds=0.0)
    senders.note(Sender("192.0.2.2"), Allowance("global", 5, 2.0), now_seconds=0.0)
    senders.note(Sender("192.0.2.3"), Allowance(None, 5), now_seconds=0.0)
    assert [senders.refusal_of(Sender(f"192.0.2.{last}"), now_seconds=0.1) for last in (2, 3, 4)] == [None, None, None]


def test_the_memory_is_bounded() -> None:
    senders = ExhaustedSenders()
    for number in range(module.TRACKED_EXHAUSTED_SENDERS + 1):
        senders.note(Sender(str(number)), Allowance("client", 0, 9.0), now_seconds=0.0)
    assert senders.refusal_of(Sender("0"), now_seconds=0.0) is None
    assert senders.refusal_of(Sender("1"), now_seconds=0.0) is not None


@given(
    burst=st.integers(1, 5),
    per_second=st.sampled_from([0.5, 1, 3, 10]),
    gaps=st.lists(st.integers(0, 1500), max_size=40),
)
def test_what_is_remembered_is_what_the_limits_would_have_said(burst: int, per_second: float, gaps: list[int]) -> None:
    rates = Rates(client=Budget(burst, per_second), window_limit=10**9, window_milliseconds=60_000)
    asked, remembering, senders = LocalRates(rates), LocalRates(rates), ExhaustedSenders()
    now = 1_000_000
    for gap in gaps:
        now += gap
        said = asked.admit(Sender("c"), now_milliseconds=now)
        answer = senders.refusal_of(Sender("c"), now_seconds=now / 1000)
        if answer is None:
            answer = remembering.admit(Sender("c"), now_milliseconds=now)
            senders.note(Sender("c"), answer, now_seconds=now / 1000)
        assert answer.refused_by == said.refused_by


def test_a_key_without_a_token_is_refused_from_every_address() -> None:
    senders = ExhaustedSenders()
    senders.note(Sender("192.0.2.1", "k", "t"), Allowance("key", 0, 2.0, "key"), now_seconds=0.0)
    assert senders.refusal_of(Sender("192.0.2.2", "k", "t"), now_seconds=1.0) == Allowance("key", 0, 1.0, "key")
    assert senders.refusal_of(Sender("192.0.2.1", "l", "t"), now_seconds=1.0) is None
