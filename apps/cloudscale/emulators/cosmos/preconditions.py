"""What must hold before a document is changed."""

from collections.abc import Sequence

from cloudscale.emulators.cosmos.document_head import Head
from cloudscale.emulators.cosmos.errors import PARTITION_KEY_MISMATCH, bad_request, precondition_failed
from cloudscale.emulators.cosmos.partition_key import Component, canonical
from cloudscale.emulators.cosmos.resources import Item


def check_partition_key(head: Head, expected: Sequence[Component] | None) -> None:
    """Raise CosmosError 400 when a document belongs into another partition than the request says."""
    if expected is None or (head.partition_key == expected and type(head.partition_key[0]) is type(expected[0])):
        return
    if canonical(head.partition_key) != canonical(expected):
        raise bad_request(
            "PartitionKey extracted from document doesn't match the one specified in the header.",
            substatus=PARTITION_KEY_MISMATCH,
        )


def check_match(item: Item, if_match: str | None) -> None:
    """Raise CosmosError 412 when the client has seen another version of the document."""
    if if_match is not None and if_match != "*" and if_match.strip('"') != item.etag.strip('"'):
        raise precondition_failed()
