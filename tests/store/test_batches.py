from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.store.batches import BATCH_BYTES, ITEMS, cut, gather_all

keys = st.sampled_from(["a:1", "a:2", "b:1"])


@given(st.lists(keys, max_size=400))
def test_each_document_is_in_exactly_one_batch_of_its_partition(partition_keys: list[str]) -> None:
    documents = [{"id": str(number), "partitionKey": key} for number, key in enumerate(partition_keys)]
    batches = cut(documents)
    assert sorted(index for batch in batches for index in batch.indices) == list(range(len(documents)))
    for batch in batches:
        assert 1 <= len(batch.documents) <= ITEMS
        assert batch.documents == [documents[index] for index in batch.indices]
        assert {document["partitionKey"] for document in batch.documents} == {batch.partition_key}


def test_a_batch_stays_below_the_size_of_a_request() -> None:
    documents: list[dict[str, Any]] = [
        {"id": str(number), "partitionKey": "a", "text": "x" * 150_000} for number in range(30)
    ]
    for batch in cut(documents):
        assert len(batch.documents) * 150_000 < BATCH_BYTES


async def test_gathering_waits_for_all_calls_before_it_raises_the_first_error() -> None:
    done: list[int] = []

    async def call(number: int) -> int:
        await asyncio.sleep(0)
        if number == 1:
            raise ValueError(number)
        await asyncio.sleep(0.01)
        done.append(number)
        return number

    with pytest.raises(ValueError, match="1"):
        await gather_all(map(call, range(3)))
    assert done == [0, 2]
    assert await gather_all([call(0), call(2)]) == [0, 2]
