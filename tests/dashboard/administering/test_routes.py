"""Tenants and keys by API: made, listed, changed, replaced and ended."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from tests.servers.office import MANAGER
from tests.waiting import wait_until_sync

from cloudscale.access import api_key
from cloudscale.cache.connection import open_redis
from cloudscale.cache.keys import Keys

if TYPE_CHECKING:
    from tests.servers.office import Office

WITHIN = timedelta(seconds=30)


def test_an_administrator_makes_a_tenant_and_changes_it(office: Office) -> None:
    created = office.ask("admin", "POST", "/tenants", {"id": "globex", "quota": {"eventsPerSecond": 1000}})
    assert (created.status, created.json["id"], created.json["disabled"]) == (201, "globex", False)

    changed = office.ask("admin", "PATCH", "/tenants/globex", {"disabled": True})
    assert changed.json["quota"] == {"requestsPerSecond": None, "eventsPerSecond": 1000}
    assert changed.json["disabled"] is True
    changed = office.ask("admin", "PATCH", "/tenants/globex", {"quota": {"requestsPerSecond": 5}, "disabled": False})
    assert changed.json["quota"] == {"requestsPerSecond": 5, "eventsPerSecond": None}
    assert office.ask("admin", "GET", "/tenants/globex").json | {"warnings": []} == changed.json


def test_a_key_is_told_once_and_opens_what_it_is_for(office: Office) -> None:
    wanted = {"tenantId": "acme", "name": "reports", "scopes": ["events:read"], "expiresInSeconds": 3600}
    answer = office.ask("admin", "POST", "/keys", wanted)

    assert answer.status == 201
    assert answer.headers["cache-control"] == "no-store"
    parsed = api_key.parse(answer.json["key"])
    assert parsed is not None
    assert (parsed.id, answer.json["scopes"], answer.json["state"]) == (answer.json["id"], ["events:read"], "active")
    expires_at = msgspec.convert(answer.json["expiresAt"], datetime)
    assert timedelta(minutes=50) < expires_at - datetime.now(UTC) <= timedelta(hours=1)
    assert office.dashboard.call("/api/v1/events/none", token=answer.json["key"]).status == 404
    listed = office.ask("admin", "GET", "/keys?tenant=acme&limit=200")
    assert parsed.id in [each["id"] for each in listed.json["keys"]]
    assert parsed.secret not in listed.body.decode()
    assert "digest" not in listed.body.decode()


def test_a_device_is_made_with_a_key_that_sends_for_it_alone(office: Office) -> None:
    wanted = {"id": "till-7", "type": "till", "model": "T", "metadata": {"floor": 3}}
    made = office.ask("acme-purchases", "POST", "/devices", wanted)

    assert (made.status, made.headers["cache-control"]) == (201, "no-store")
    assert (made.json["tenantId"], made.json["deviceId"], made.json["scopes"]) == ("acme", "till-7", ["events:write"])
    assert made.json["eventTypes"] == ["purchase"], "it may send no more than whoever has made it"
    assert api_key.parse(made.json["key"]) is not None
    reader = office.new_key(scopes=["events:read"])["key"]
    shown = office.dashboard.call("/api/v1/devices/till-7", token=reader).json
    assert (shown["type"], shown["model"], shown["metadata"]) == ("till", "T", {"floor": 3})
    assert shown["keyIds"] == [made.json["id"]]
    again = office.ask("admin", "POST", "/devices", {**wanted, "tenantId": "acme"})
    assert (again.status, "till-7" in again.json["detail"]) == (409, True)


def test_a_rotated_key_holds_for_the_overlap_beside_the_new_one(office: Office) -> None:
    old = office.new_key(scopes=["events:read"], eventTypes=["purchase"])
    answer = office.ask("admin", "POST", f"/keys/{old['id']}/rotate", {"overlapSeconds": 3600})

    assert answer.status == 201
    assert answer.headers["cache-control"] == "no-store"
    assert (answer.json["eventTypes"], answer.json["name"]) == (["purchase"], "test")
    shown = key_of(office, old["id"])
    assert (shown["state"], shown["replacedBy"]) == ("ending", answer.json["id"])
    for key in (old["key"], answer.json["key"]):
        assert office.dashboard.call("/api/v1/events/none", token=key).status == 404
    again = office.ask("admin", "POST", f"/keys/{old['id']}/rotate")
    assert again.status == 409
    assert answer.json["id"] in again.json["detail"]


def test_a_revoked_key_opens_nothing_any_more(office: Office) -> None:
    key = office.new_key(scopes=["events:read"])
    assert office.dashboard.call("/api/v1/events/none", token=key["key"]).status == 404

    for _ in range(2):
        answer = office.ask("admin", "POST", f"/keys/{key['id']}/revoke")
        assert (answer.status, answer.json["state"]) == (200, "revoked")

    wait_until_sync(lambda: status_of(office, key) == 401, within=WITHIN)


def test_an_administrator_of_one_tenant_need_not_name_it(office: Office) -> None:
    made = office.ask("acme-admin", "POST", "/keys", {"name": "till"})
    assert (made.status, made.json["tenantId"], made.json["scopes"]) == (201, "acme", ["events:write"])

    assert {each["tenantId"] for each in office.ask("acme-admin", "GET", "/keys").json["keys"]} == {"acme"}
    assert [each["id"] for each in office.ask("acme-admin", "GET", "/tenants").json["tenants"]] == ["acme"]
    assert office.ask("acme-admin", "GET", "/tenants/acme").json["id"] == "acme"
    assert office.ask("acme-admin", "POST", f"/keys/{made.json['id']}/rotate").status == 201
    assert office.ask("acme-admin", "POST", f"/keys/{made.json['id']}/revoke").status == 200


def test_who_administers_a_tenant_hands_out_sending_and_reading_in_it(office: Office) -> None:
    made = office.ask("acme-lone", "POST", "/keys", {"name": "app", "scopes": ["events:write", "events:read"]})
    assert (made.status, made.json["scopes"]) == (201, ["events:read", "events:write"])
    assert office.ask("acme-lone", "POST", f"/keys/{made.json['id']}/rotate").status == 201


def test_a_key_that_ends_makes_keys_that_end_before(office: Office) -> None:
    made = office.ask("acme-short", "POST", "/keys", {"name": "job", "expiresInSeconds": 60})
    assert made.status == 201
    assert office.ask("acme-short", "POST", f"/keys/{made.json['id']}/rotate").status == 201
    assert office.ask("acme-short", "PATCH", f"/keys/{made.json['id']}", {"name": "other"}).status == 409


def test_a_tenant_s_administrator_gives_a_key_no_more_than_its_quota(office: Office) -> None:
    assert office.ask("admin", "PATCH", "/tenants/acme", {"quota": {"requestsPerSecond": 20}}).status == 200
    try:
        made = office.ask("acme-admin", "POST", "/keys", {"name": "page", "requestsPerSecond": 20})
        refused = office.ask("acme-admin", "POST", "/keys", {"name": "page", "requestsPerSecond": 21})
        more = office.new_key(requestsPerSecond=21)
        renewed = office.ask("acme-admin", "POST", f"/keys/{more['id']}/rotate")
    finally:
        office.ask("admin", "PATCH", "/tenants/acme", {"quota": {}})
    assert (made.status, made.json["requestsPerSecond"]) == (201, 20)
    assert (refused.status, renewed.status) == (403, 403)
    assert "the tenant may send 20 requests a second" in refused.json["detail"]


def test_a_key_s_name_end_and_limit_are_changed_and_recorded(office: Office) -> None:
    key = office.new_key(scopes=["events:read"], requestsPerSecond=5, expiresInSeconds=3600)
    assert key["requestsPerSecond"] == 5

    renamed = office.ask("admin", "PATCH", f"/keys/{key['id']}", {"name": "till 7"})
    assert (renamed.status, renamed.json["name"], renamed.json["requestsPerSecond"]) == (200, "till 7", 5)
    assert renamed.json["expiresAt"] == key["expiresAt"]
    changes = {"expiresInSeconds": None, "requestsPerSecond": 7}
    changed = office.ask("admin", "PATCH", f"/keys/{key['id']}", changes).json
    assert (changed["expiresAt"], changed["requestsPerSecond"], changed["name"]) == (None, 7, "till 7")
    assert key_of(office, key["id"]) | {"warnings": []} == changed
    entry = office.dashboard.call("/api/pipeline", token=MANAGER).json["audit"][0]
    assert (entry["act"], entry["outcome"]) == ("change key", "done")
    assert entry["what"] == f"key {key['id']} of tenant acme: no end, 7 requests/s"

    assert office.dashboard.call("/api/v1/events/none", token=key["key"]).status == 404
    office.ask("admin", "PATCH", f"/keys/{key['id']}", {"expiresInSeconds": 1, "requestsPerSecond": None})
    wait_until_sync(lambda: status_of(office, key) == 401, within=WITHIN)
    assert key_of(office, key["id"])["state"] == "expired"
    office.ask("admin", "PATCH", f"/keys/{key['id']}", {"expiresInSeconds": 3600})
    wait_until_sync(lambda: status_of(office, key) == 404, within=WITHIN)


def test_a_list_says_when_each_key_was_last_used(office: Office) -> None:
    used, unused = office.new_key(), office.new_key()
    uses = {used["id"]: 1_760_000_000}

    async def note() -> None:
        async with open_redis(office.dashboard.settings.redis_url) as redis:
            await redis.zadd(Keys(namespace="default", name="shop").access_used, uses)

    asyncio.run(note())

    assert key_of(office, used["id"])["lastUsedAt"] == "2025-10-09T08:53:20Z"
    assert key_of(office, unused["id"])["lastUsedAt"] is None


def test_pages_have_each_key_once(office: Office) -> None:
    for _ in range(3):
        office.new_key()
    whole = [each["id"] for each in office.ask("admin", "GET", "/keys?tenant=acme&limit=200").json["keys"]]

    assert paged(office, "/keys?tenant=acme&limit=2", "keys") == whole
    tenants = [each["id"] for each in office.ask("admin", "GET", "/tenants").json["tenants"]]
    assert {"acme", "operations", "rival"} <= {*tenants}
    assert paged(office, "/tenants?limit=1", "tenants") == tenants
    everybody = office.ask("admin", "GET", "/keys?limit=200").json["keys"]
    assert {"acme", "operations", "rival"} <= {each["tenantId"] for each in everybody}


def test_every_change_is_recorded_with_the_key_that_asked_and_no_secret(office: Office) -> None:
    key = office.new_key()
    office.ask("admin", "POST", f"/keys/{key['id']}/revoke")

    record = office.dashboard.call("/api/pipeline", token=MANAGER).json["audit"]

    done, asked, made, *_ = record
    who = f"key {office.id_of('admin')} of operations"
    assert (asked["who"], asked["act"], asked["outcome"]) == (who, "revoke key", "asked for")
    assert (done["what"], done["outcome"]) == (f"key {key['id']} of tenant acme", "done")
    assert (made["act"], made["outcome"]) == ("create key", f"key {key['id']} made")
    assert key["key"].rpartition("_")[2] not in str(record)


def test_nothing_is_given_that_cannot_be_recorded_and_all_is_ended(office: Office) -> None:
    """The audit record's place is taken by something that no entry can be added to."""

    async def spoil(*, back: bool) -> None:
        async with open_redis(office.dashboard.settings.redis_url) as redis:
            name = Keys(namespace="default", name="shop").audit
            if back:
                await redis.delete(name)
                await redis.rename("kept", name)
            else:
                await redis.rename(name, "kept")
                await redis.set(name, "text")

    key = office.new_key(scopes=["events:read"])
    assert office.ask("admin", "POST", "/tenants", {"id": "ended"}).json["warnings"] == []
    asyncio.run(spoil(back=False))
    try:
        revoked = office.ask("admin", "POST", f"/keys/{key['id']}/revoke")
        disabled = office.ask("admin", "PATCH", "/tenants/ended", {"disabled": True})
        refused = office.ask("admin", "POST", "/tenants", {"id": "unrecorded"})
        enabled = office.ask("admin", "PATCH", "/tenants/ended", {"disabled": False})
    finally:
        asyncio.run(spoil(back=True))
    assert (revoked.status, revoked.json["state"]) == (200, "revoked")
    (warning,) = revoked.json["warnings"]
    assert f"revoke key: key {key['id']} of tenant acme" in warning
    assert "the audit record does not say so" in warning
    assert key_of(office, key["id"])["state"] == "revoked"
    wait_until_sync(lambda: status_of(office, key) == 401, within=WITHIN)
    assert (disabled.status, len(disabled.json["warnings"])) == (200, 1)
    assert (refused.status, enabled.status) == (503, 503)
    assert "Nothing was done" in refused.json["detail"]
    assert office.ask("admin", "GET", "/tenants/unrecorded").status == 404
    assert office.ask("admin", "GET", "/tenants/ended").json["disabled"] is True


def status_of(office: Office, key: dict[str, Any]) -> int:
    """What a key is answered, from an address whose wrong keys are not counted for the others'."""
    return office.dashboard.call("/api/v1/events/none", token=key["key"], address="127.0.0.3").status


def key_of(office: Office, key_id: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = office.ask("admin", "GET", "/keys?tenant=acme&limit=200").json["keys"]
    return next(each for each in found if each["id"] == key_id)


def paged(office: Office, path: str, name: str) -> list[str]:
    ids: list[str] = []
    cursor = ""
    while True:
        content = office.ask("admin", "GET", path + cursor).json
        ids += [each["id"] for each in content[name]]
        if content["next"] is None:
            return ids
        cursor = f"&cursor={content['next']}"
