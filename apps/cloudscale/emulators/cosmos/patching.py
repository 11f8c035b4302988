"""Patching a stored item, with the condition that may come with the patch."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from cloudscale.emulators.cosmos.decoding import decode_json
from cloudscale.emulators.cosmos.document_head import Head
from cloudscale.emulators.cosmos.documents import Documents
from cloudscale.emulators.cosmos.errors import precondition_failed
from cloudscale.emulators.cosmos.partition_key import Component
from cloudscale.emulators.cosmos.patch import apply_patch, parse_patch
from cloudscale.emulators.cosmos.query.condition import holds
from cloudscale.emulators.cosmos.resources import Item, render

_document_decoder: Final = msgspec.json.Decoder(dict[str, Any])


def patch_item(
    documents: Documents,
    document_id: str,
    partition_key: Sequence[Component],
    body: bytes | msgspec.Raw,
    *,
    if_match: str | None = None,
) -> Item:
    """Apply a patch to an item inside a write; raises CosmosError 400, 404 or 412."""
    patch = parse_patch(body)

    def change(item: Item) -> Head:
        if patch.condition is not None and not holds(patch.condition, render(documents.container, item)):
            raise precondition_failed("The patch's condition does not hold for the document.")
        document = decode_json(_document_decoder, item.body, "The stored document")
        apply_patch(document, patch.operations)
        return documents.heads.of_document(document)

    return documents.modify(document_id, partition_key, change, if_match=if_match)
