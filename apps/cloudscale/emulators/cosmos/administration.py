"""Requests for the account, databases, containers, partition key ranges and throughput."""

import re
from collections.abc import Mapping
from typing import Any, Final

from cloudscale.emulators.cosmos.documents import Documents
from cloudscale.emulators.cosmos.emulator import Emulator, answer, decode_object, encode, feed, is_query, is_true
from cloudscale.emulators.cosmos.errors import bad_request, cross_partition_disabled, not_found
from cloudscale.emulators.cosmos.protocol import Request, Response
from cloudscale.emulators.cosmos.query.request import select_resources
from cloudscale.emulators.cosmos.range_statistics import range_statistics
from cloudscale.emulators.cosmos.resources import Container, Database, encode_rid
from cloudscale.emulators.cosmos.throughput import check_throughput, parse_throughput

PARTITION_RANGES_ETAG: Final = '"1"'
_HOST: Final = re.compile(r"[A-Za-z0-9.\-_:\[\]]+")


async def account(emulator: Emulator, request: Request) -> Response:
    """GET /: the account, under the address that the client has used, so that it stays with that address."""
    host = emulator.account.host(request)
    if not _HOST.fullmatch(host):
        raise bad_request("The Host header is missing or names no host.")
    location = {"name": emulator.account.region, "databaseAccountEndpoint": f"{emulator.account.scheme}://{host}/"}
    return answer(
        encode(
            {
                "_self": "",
                "id": host.partition(":")[0],
                "_rid": host.partition(":")[0],
                "media": "//media/",
                "addresses": "//addresses/",
                "_dbs": "//dbs/",
                "writableLocations": [location],
                "readableLocations": [location],
                "enableMultipleWriteLocations": False,
                "userReplicationPolicy": {"asyncReplication": False, "minReplicaSetSize": 1, "maxReplicasetSize": 1},
                "userConsistencyPolicy": {"defaultConsistencyLevel": emulator.account.consistency},
                "systemReplicationPolicy": {"minReplicaSetSize": 1, "maxReplicasetSize": 1},
                "readPolicy": {"primaryReadCoefficient": 1, "secondaryReadCoefficient": 1},
                "queryEngineConfiguration": '{"maxSqlQueryInputLength":262144,"sqlAllowTop":true,'
                '"sqlAllowGroupByClause":true,"sqlAllowAggregateFunctions":true}',
            }
        )
    )


async def create_database(emulator: Emulator, request: Request) -> Response:
    """POST dbs."""
    name = decode_object(request.body).get("id")
    throughput = _requested_throughput(request)
    database = await emulator.storage.write(lambda: emulator.catalogue.create_database(name, throughput))
    return answer(encode(_describe_database(database)), status=201, headers={"etag": _ETAG})


async def list_databases(emulator: Emulator, request: Request) -> Response:
    """GET dbs, or a query over them."""
    members = [_describe_database(database) for database in emulator.catalogue.databases()]
    return await _resource_feed(request, "Databases", "", members)


async def read_database(emulator: Emulator, name: str) -> Response:
    """GET dbs/name."""
    return answer(encode(_describe_database(emulator.catalogue.database(name))), headers={"etag": _ETAG})


async def delete_database(emulator: Emulator, name: str) -> Response:
    """DELETE dbs/name."""
    await emulator.storage.write(lambda: emulator.catalogue.delete_database(name))
    return answer(b"", status=204)


async def create_container(emulator: Emulator, request: Request, database: str) -> Response:
    """POST dbs/name/colls."""
    definition = decode_object(request.body)
    throughput = _requested_throughput(request)
    documents = await emulator.storage.write(
        lambda: emulator.catalogue.create_container(database, definition, throughput)
    )
    return _container_answer(documents, status=201)


async def list_containers(emulator: Emulator, request: Request, database: str) -> Response:
    """GET dbs/name/colls, or a query over them."""
    members = [_describe_container(documents.container) for documents in emulator.catalogue.containers(database)]
    return await _resource_feed(request, "DocumentCollections", emulator.catalogue.database(database).rid, members)


async def read_container(emulator: Emulator, request: Request, database: str, name: str) -> Response:
    """GET dbs/name/colls/name."""
    documents = emulator.find_container(request, database, name)
    if not is_true(request, "x-ms-documentdb-populatepartitionstatistics"):
        return _container_answer(documents)
    number, boundaries = documents.container.number, emulator.boundaries
    statistics = await emulator.storage.query(lambda connection: range_statistics(connection, number, boundaries))
    return _container_answer(documents, more={"statistics": statistics})


async def replace_container(emulator: Emulator, request: Request, database: str, name: str) -> Response:
    """PUT dbs/name/colls/name."""
    definition = decode_object(request.body)
    documents = emulator.catalogue.container(database, name)
    await emulator.storage.write(lambda: emulator.catalogue.replace_container(documents, definition))
    return _container_answer(documents)


async def delete_container(emulator: Emulator, database: str, name: str) -> Response:
    """DELETE dbs/name/colls/name."""
    documents = emulator.catalogue.container(database, name)
    await emulator.storage.write(lambda: emulator.catalogue.delete_container(documents))
    return answer(b"", status=204)


async def list_partition_ranges(emulator: Emulator, request: Request, database: str, name: str) -> Response:
    """GET pkranges, which clients read as a change feed: 304 when they know them already."""
    documents = emulator.find_container(request, database, name)
    if request.headers.get("if-none-match") == PARTITION_RANGES_ETAG:
        return answer(b"", status=304, documents=documents, headers={"etag": PARTITION_RANGES_ETAG})
    count = len(emulator.boundaries) - 1
    members = []
    for index in range(count):
        rid = encode_rid(documents.container.rid_bytes + (0x5000000000000000 | index).to_bytes(8, "big"))
        members.append(
            encode(
                {
                    "_rid": rid,
                    "id": str(index),
                    "_etag": _ETAG,
                    "minInclusive": emulator.boundaries[index],
                    "maxExclusive": emulator.boundaries[index + 1],
                    "ridPrefix": index,
                    "_self": f"{documents.container.self_link}pkranges/{rid}/",
                    "throughputFraction": 1 / count,
                    "status": "online",
                    "parents": [],
                    "_ts": documents.container.timestamp,
                }
            )
        )
    return feed(
        "PartitionKeyRanges",
        documents.container.rid,
        members,
        documents=documents,
        headers={"etag": PARTITION_RANGES_ETAG},
    )


async def list_conflicts(emulator: Emulator, request: Request, database: str, name: str) -> Response:
    """GET conflicts, or a query over them: there are none, since there is one region to write to."""
    documents = emulator.find_container(request, database, name)
    may_cross = is_true(request, "x-ms-documentdb-query-enablecrosspartition")
    if is_query(request) and not may_cross and "x-ms-documentdb-partitionkey" not in request.headers:
        raise cross_partition_disabled()
    return feed("Conflicts", documents.container.rid, [], documents=documents)


async def list_offers(emulator: Emulator, request: Request) -> Response:
    """GET offers, or a query over them, which is how clients find an offer by its resource."""
    return await _resource_feed(request, "Offers", "", [offer for _, offer in _offers(emulator)])


async def read_offer(emulator: Emulator, rid: str) -> Response:
    """GET offers/rid."""
    return answer(encode(_find_offer(emulator, rid)[1]))


async def replace_offer(emulator: Emulator, request: Request, rid: str) -> Response:
    """PUT offers/rid: other throughput."""
    owner, offer = _find_offer(emulator, rid)
    content = decode_object(request.body).get("content")
    if not isinstance(content, dict):
        raise bad_request("An offer needs its content.")
    known = {name: content[name] for name in ("offerThroughput", "offerAutopilotSettings") if content.get(name)}
    check_throughput(known)
    await emulator.storage.write(lambda: emulator.catalogue.set_throughput(owner, known))
    return answer(encode({**offer, "content": {**offer["content"], **known}}))


_ETAG: Final = '"00000000-0000-0000-0000-000000000000"'


def _requested_throughput(request: Request) -> dict[str, Any] | None:
    return parse_throughput(
        request.headers.get("x-ms-offer-throughput"), request.headers.get("x-ms-cosmos-offer-autopilot-settings")
    )


def _describe_database(database: Database) -> dict[str, Any]:
    return {
        "id": database.id,
        "_rid": database.rid,
        "_self": database.self_link,
        "_etag": _ETAG,
        "_colls": "colls/",
        "_users": "users/",
        "_ts": database.timestamp,
    }


def _describe_container(container: Container) -> dict[str, Any]:
    return {
        **container.definition,
        "_rid": container.rid,
        "_ts": container.timestamp,
        "_self": container.self_link,
        "_etag": _ETAG,
        "_docs": "docs/",
        "_sprocs": "sprocs/",
        "_triggers": "triggers/",
        "_udfs": "udfs/",
        "_conflicts": "conflicts/",
    }


def _container_answer(documents: Documents, *, status: int = 200, more: Mapping[str, object] | None = None) -> Response:
    return answer(
        encode({**_describe_container(documents.container), **(more or {})}),
        status=status,
        documents=documents,
        headers={
            "etag": _ETAG,
            "x-ms-documentdb-collection-index-transformation-progress": "100",
            "x-ms-resource-usage": f"documentsCount={documents.count};",
        },
    )


def _offers(emulator: Emulator) -> list[tuple[Database | Container, dict[str, Any]]]:
    owners: list[Database | Container] = [
        *emulator.catalogue.databases(),
        *(documents.container for documents in emulator.catalogue.all_containers()),
    ]
    return [(owner, _describe_offer(owner, owner.throughput)) for owner in owners if owner.throughput]


def _describe_offer(owner: Database | Container, throughput: dict[str, Any]) -> dict[str, Any]:
    # Clients tell an offer's id from a name by its length, as that of a database id.
    prefix = 0x40 if isinstance(owner, Database) else 0x80
    rid = encode_rid(prefix.to_bytes(1, "big") + owner.number.to_bytes(2, "big"))
    return {
        "resource": owner.self_link,
        "offerType": "Invalid",
        "offerResourceId": owner.rid,
        "offerVersion": "V2",
        "content": {"offerIsRUPerMinuteThroughputEnabled": False, **throughput},
        "id": rid,
        "_rid": rid,
        "_self": f"offers/{rid}/",
        "_etag": _ETAG,
        "_ts": owner.timestamp,
    }


def _find_offer(emulator: Emulator, rid: str) -> tuple[Database | Container, dict[str, Any]]:
    for owner, offer in _offers(emulator):
        if offer["_rid"] == rid:
            return owner, offer
    raise not_found(f"offer '{rid}'")


async def _resource_feed(request: Request, name: str, rid: str, members: list[dict[str, Any]]) -> Response:
    encoded = [encode(member) for member in members]
    if request.method == "POST" and is_query(request):
        encoded = select_resources(encoded, request.body)
    return feed(name, rid, encoded)
