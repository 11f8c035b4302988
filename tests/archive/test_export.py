"""Events leave the archive as their clients sent them."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.archive.archiving import PIPELINE

from cloudscale.archive.archiver import Archiver
from cloudscale.archive.directory import ArchiveDirectory
from cloudscale.archive.export import Selection, exported
from cloudscale.archive.query import QueryError
from cloudscale.events.enrichment import Origin, enrich, payload_hash
from cloudscale.events.types import EventTypes
from cloudscale.store.feed_range import FeedRange

if TYPE_CHECKING:
    from pathlib import Path

    from cloudscale.archive.sent_events import SentEvent

NOW = datetime(2026, 11, 29, 10, 0, 0, 250_000, tzinfo=UTC)
NAMED = {"eventId": "e1", "createdAt": "1998-01-31T12:00:00Z", "userId": "u1"}
PURCHASE = {"tenantId": "acme", "eventType": "user_action", "actionName": "purchase", "amount": 12, "currency": "USD"}


def archive_of(path: Path, sent: list[dict[str, Any]]) -> Path:
    """An archive of events that a client sent just so."""
    types, documents = EventTypes(), []
    for number, event in enumerate(sent):
        enriched = enrich(event, types.check(event), Origin("192.0.2.1", f"c{number}", NOW))
        fate = {"processedAt": "2026-11-29T10:00:01.000000Z", "suspicious": True, "fraud": {"rule": "velocity"}}
        stored = msgspec.json.decode(enriched.body) | fate
        documents.append(stored | {"_lsn": number + 1, "_self": "dbs/a/colls/b/docs/c/", "_etag": "x", "_ts": 1})
    with ArchiveDirectory(path, pipeline=PIPELINE) as directory:
        archiver, whole = Archiver(directory, interval=timedelta(minutes=1)), FeedRange("", "FF")
        if documents:
            archiver.take(whole, documents)
        asyncio.run(archiver.keep(whole, at_once=True, is_at_end=True))
    return path


def out_of(path: Path, **selected: Any) -> list[SentEvent]:
    scratch = path / "scratch"
    scratch.mkdir(exist_ok=True)
    return list(exported(path, Selection(**selected), scratch=scratch))


@pytest.mark.parametrize(
    "sent",
    [
        NAMED,
        NAMED | {"createdAt": "1998-01-31T12:00:00.125Z"},
        NAMED | {"createdAt": "1998-01-31T12:00:00.000Z"},
        NAMED | {"createdAt": "1998-01-31T12:00:00.123456Z"},
        NAMED | {"createdAt": "1998-01-31T12:00:00+00:00"},
        NAMED | {"correlationId": "mine"},
        NAMED | {"schemaVersion": 1},
        NAMED | {"schemaVersion": 3, "metadata": {"plan": "free"}},
        NAMED | {"metadata": {}, "correlationId": "mine"},
        NAMED | {"amount": 12.5},
        NAMED | {"amount": 12.0},
        NAMED | {"items": [{"sku": "a", "count": 2}], "note": "ä ☃", "deviceId": "till-1"},
    ],
    ids=str,
)
def test_an_event_with_an_id_and_a_time_is_what_its_client_sent(tmp_path: Path, sent: dict[str, Any]) -> None:
    event = PURCHASE | sent
    (found,) = out_of(archive_of(tmp_path, [event]))
    assert found.is_original
    assert found.document == event
    assert payload_hash(found.document) == payload_hash(event)


@pytest.mark.parametrize("missing", ["eventId", "createdAt"])
def test_an_event_that_its_client_did_not_name_has_the_name_that_it_was_given(tmp_path: Path, missing: str) -> None:
    event = {name: value for name, value in (PURCHASE | NAMED).items() if name != missing}
    (found,) = out_of(archive_of(tmp_path, [event]))
    assert not found.is_original
    assert found.document.items() >= event.items() - {("createdAt", "1998-01-31T12:00:00Z")}
    given = found.document[missing]
    assert given == "2026-11-29T10:00:00.250000Z" if missing == "createdAt" else re.fullmatch("[0-9a-f]{32}", given)


def test_an_event_is_stored_as_the_same_again(tmp_path: Path) -> None:
    event = PURCHASE | NAMED | {"metadata": {"plan": "free"}}
    archive_of(tmp_path, [event, PURCHASE])
    types, origin = EventTypes(), Origin("192.0.2.9", "later", NOW + timedelta(days=400))
    first, second = (enrich(each.document, types.check(each.document), origin).document for each in out_of(tmp_path))
    of_its_own = {"receivedAt", "acceptance", "clientAddress", "correlationId"}
    original = enrich(event, types.check(event), Origin("192.0.2.1", "c0", NOW)).document
    assert {name: first[name] for name in original.keys() - of_its_own} == {
        name: original[name] for name in original.keys() - of_its_own
    }
    assert (second["createdAt"], second["partitionKey"]) == ("2026-11-29T10:00:00.250000Z", "acme:2026-11")


def test_only_what_is_selected_leaves_the_earliest_first(tmp_path: Path) -> None:
    days = [(3, "acme"), (1, "acme"), (2, "home"), (2, "acme"), (4, "acme")]
    archive_of(
        tmp_path,
        [
            PURCHASE | {"eventId": f"e{day}{tenant}", "createdAt": f"1998-01-0{day}T00:00:00Z", "tenantId": tenant}
            for day, tenant in days
        ],
    )

    def ids(**selected: Any) -> list[str]:
        return [found.document["eventId"] for found in out_of(tmp_path, **selected)]

    assert ids() == ["e1acme", "e2acme", "e2home", "e3acme", "e4acme"]
    assert ids(tenant_id="home") == ["e2home"]
    since, until = datetime(1998, 1, 2, tzinfo=UTC), datetime(1998, 1, 4, tzinfo=UTC)
    assert ids(tenant_id="acme", since=since, until=until) == ["e2acme", "e3acme"]
    assert ids(event_type="page_view") == []
    assert ids(tenant_id="' OR true --") == []


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    archive_of(tmp_path, [PURCHASE | NAMED])
    (file,) = tmp_path.glob("tenant=*/**/*.parquet")
    file.write_bytes(b"no file of rows")
    with pytest.raises(QueryError, match="the archive cannot be read"):
        out_of(tmp_path)


def test_an_archive_without_events_gives_none(tmp_path: Path) -> None:
    assert out_of(archive_of(tmp_path, [])) == []
