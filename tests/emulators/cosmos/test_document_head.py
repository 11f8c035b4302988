"""What is read of a document before it is stored, and the text that is stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.emulators.cosmos.gateway import CROSSING
from tests.emulators.cosmos.stores import emulator_of, open_catalogue

from cloudscale.emulators.cosmos.document_head import HeadReader
from cloudscale.emulators.cosmos.partition_key import PartitionKeyDefinition
from cloudscale.emulators.cosmos.protocol import Request
from cloudscale.emulators.cosmos.queries import run_query

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def reader() -> HeadReader:
    return HeadReader(PartitionKeyDefinition.parse({"paths": ["/pk"]}))


@pytest.mark.parametrize(
    "body",
    [
        rb'{"id":"1","pk":"a","n":1.10}',
        rb'{"id":"1","pk":"a","text":"line\n\"quoted\" \\"}',
    ],
)
def test_a_document_is_stored_as_it_came(reader: HeadReader, body: bytes) -> None:
    assert reader.read(body).body == body


def test_escapes_that_json_does_not_need_are_stored_as_what_they_stand_for(reader: HeadReader) -> None:
    head = reader.read(rb'{"id":"\u0031","p\u006b":"\u00e9", "\u00e9":"\u00e9", "a\/b":"\ud83d\ude00\u0001"}')
    assert (head.id, head.partition_key) == ("1", ("é",))
    assert head.body == '{"id":"1","pk":"é","é":"é","a/b":"😀\\u0001"}'.encode()


@pytest.mark.parametrize("name", ["é", "😀", "a/b", "back\\slash", "tab\t", "\x01", "it's", "a.b", "[0]", ""])
@pytest.mark.parametrize("escape", [True, False], ids=["escaped", "as it is"])
async def test_a_member_is_found_by_its_name_however_the_client_has_written_it(
    tmp_path: Path, name: str, *, escape: bool
) -> None:
    document: dict[str, Any] = {"id": "1", "pk": "a", name: {name: 7}}
    body = json.dumps(document, ensure_ascii=escape)
    if escape:
        body = body.replace("/", "\\/")
    key = json.dumps(name, ensure_ascii=False)
    conditions = f"c[{key}][{key}] = 7 AND ARRAY_CONTAINS([c[{key}]], {{{key}: 7}}, true)"
    async with open_catalogue(tmp_path) as (storage, catalogue):
        items = catalogue.container("db", "items")
        await storage.write(lambda: items.create(body.encode(), None))
        query = msgspec.json.encode({"query": f"SELECT VALUE c[{key}][{key}] FROM c WHERE {conditions}"})  # noqa: S608
        response = await run_query(emulator_of(storage, catalogue), items, Request("POST", "", CROSSING, query))
    assert msgspec.json.decode(response.body)["Documents"] == [7]
