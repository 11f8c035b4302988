"""An event becomes a row without a loss."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.archive.archiving import events

from cloudscale.archive.rows import COLUMNS, RefusedEventError, Row, as_row

(EVENT,) = events(7, 1)
OF_THE_STORE = {"_rid": "r", "_self": "dbs/a/colls/b/docs/c/", "_etag": "e", "_attachments": "a/", "_ts": 1, "_lsn": 2}
values = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8) | st.lists(st.integers(0, 9))


def test_common_fields_are_typed_and_all_others_are_in_the_rest() -> None:
    row = as_row(EVENT | OF_THE_STORE)
    assert (row.amount, row.tenant_id, row.user_id) == (1.75, "t1", "u2")
    assert row.rest == {
        "partitionKey": "t1:2024-08",
        "payloadHash": "h",
        "acceptance": "a",
        "properties": {"quantity": 7},
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [("amount", "a lot"), ("createdAt", "yesterday"), ("createdAt", "2024-05-01T10:00:00"), ("schemaVersion", 2**40)],
)
def test_a_value_that_its_column_does_not_take_stays_in_the_rest(name: str, value: object) -> None:
    row = as_row(EVENT | {name: value})
    assert msgspec.to_builtins(row)[name] is None
    assert row.rest[name] == value


@given(st.dictionaries(st.sampled_from([*(set(COLUMNS) - {"id", "tenantId", "eventType", "receivedAt"}), "x"]), values))
def test_every_field_is_in_its_column_or_in_the_rest(fields: dict[str, Any]) -> None:
    event = EVENT | fields
    row = msgspec.to_builtins(as_row(event))
    typed = {name: value for name, value in row.items() if name != "rest" and value is not None}
    times = {"createdAt", "receivedAt", "processedAt"}
    for name, value in event.items():
        if name in row["rest"]:
            assert row["rest"][name] == value
        elif name not in times | {"eventId"}:
            assert typed.get(name) == value


@pytest.mark.parametrize("name", ["id", "tenantId", "eventType", "receivedAt"])
def test_without_what_every_row_needs_there_is_none(name: str) -> None:
    with pytest.raises(RefusedEventError, match=name):
        as_row({key: value for key, value in EVENT.items() if key != name})


def test_the_columns_are_those_of_the_row() -> None:
    assert [field.encode_name for field in msgspec.structs.fields(Row)] != []
    assert {field.encode_name for field in msgspec.structs.fields(Row)} == set(COLUMNS)
