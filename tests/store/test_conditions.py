from __future__ import annotations

from cloudscale.store.conditions import Condition, all_of, one_of


def test_a_condition_without_a_value_does_not_restrict() -> None:
    where, parameters = all_of([Condition("c.kind = @kind", "@kind", None), Condition("c.x = @x", "@x", 1)])

    assert (where, parameters) == (" WHERE c.x = @x", {"@x": 1})
    assert all_of([]) == ("", {})


def test_false_is_a_value() -> None:
    assert all_of([Condition("c.suspicious = @suspicious", name="@suspicious", value=False)])[1] == {
        "@suspicious": False
    }


def test_the_parameter_s_name_need_not_be_the_last_word_of_the_condition() -> None:
    where, parameters = all_of([Condition("STARTSWITH(c.partitionKey, @keys, false)", "@keys", "acme:")])

    assert (where, parameters) == (" WHERE STARTSWITH(c.partitionKey, @keys, false)", {"@keys": "acme:"})


def test_one_of_binds_every_value() -> None:
    assert one_of("c.id", ["a", "b"]) == ("c.id IN (@p0, @p1)", {"@p0": "a", "@p1": "b"})
