from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloudscale.store.batches import BATCH_BYTES, ITEMS, cut

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
