from __future__ import annotations

from bench.flames import cumulative_shares, describe, parse_folded, self_shares

FOLDED = """\
process 7:"python -m x";thread (0x1);run (asyncio/base_events.py:10);post (ingestion/app.py:20);encode (json.py:5) 3
process 7:"python -m x";thread (0x1);run (asyncio/base_events.py:10);post (ingestion/app.py:21) 1
process 8:"python -m x";thread (0x2);run (asyncio/base_events.py:12);encode (json.py:6);encode (json.py:5) 4
"""


def test_lines_processes_and_threads_of_a_function_count_as_that_function() -> None:
    stacks = parse_folded(FOLDED)

    assert stacks == {
        ("run (asyncio/base_events.py)", "post (ingestion/app.py)", "encode (json.py)"): 3,
        ("run (asyncio/base_events.py)", "post (ingestion/app.py)"): 1,
        ("run (asyncio/base_events.py)", "encode (json.py)", "encode (json.py)"): 4,
    }


def test_a_functions_own_time_is_that_of_the_samples_it_ends() -> None:
    assert self_shares(parse_folded(FOLDED)) == {"encode (json.py)": 7, "post (ingestion/app.py)": 1}


def test_recursion_counts_once() -> None:
    assert cumulative_shares(parse_folded(FOLDED))["encode (json.py)"] == 7


def test_a_frame_without_a_line_is_kept_as_it_is() -> None:
    assert self_shares(parse_folded("main (a.py:1);[native] 2")) == {"[native]": 2}


def test_shares_are_percent_of_all_samples() -> None:
    shown = describe(parse_folded(FOLDED))

    assert "  87.5 %  encode (json.py)" in shown
    assert "  50.0 %  post (ingestion/app.py)" in shown


def test_what_all_samples_have_in_common_is_left_out() -> None:
    assert "run (asyncio/base_events.py)" not in describe(parse_folded(FOLDED))


def test_nothing_sampled_is_shown_as_nothing() -> None:
    assert "(0 samples)" in describe(parse_folded(""))
