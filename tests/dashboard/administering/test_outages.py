"""What administrators can do, and are told, while Redis or the store is away."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.servers import office as offices
from tests.waiting import wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.office import Office

WITHIN = timedelta(seconds=30)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """An office of this file's own, whose backends it takes away."""
    with offices.office(tmp_path_factory.mktemp("outages")) as office:
        yield office


@pytest.fixture
def without_redis(office: Office) -> Iterator[None]:
    """The dashboard knows its administrator, and then Redis is away."""
    assert office.ask("admin", "GET", "/tenants").status == 200
    office.redis.stop()
    try:
        yield
    finally:
        office.redis.start()


def test_without_redis_keys_are_listed_and_ended_and_the_processes_hear_of_it_later(office: Office) -> None:
    key = office.new_key(scopes=["events:read"])
    assert office.dashboard.call("/api/v1/events/none", token=key["key"]).status == 404
    office.redis.stop()
    try:
        listed = office.ask("admin", "GET", "/keys?tenant=acme&limit=200")
        revoked = office.ask("admin", "POST", f"/keys/{key['id']}/revoke")
        after = office.ask("admin", "GET", "/keys?tenant=acme&limit=200")
    finally:
        office.redis.start()

    assert (listed.status, listed.json["lastUseKnown"]) == (200, False)
    assert key["id"] in [each["id"] for each in listed.json["keys"]]
    assert {each["lastUsedAt"] for each in listed.json["keys"]} == {None}
    assert (revoked.status, revoked.json["state"]) == (200, "revoked")
    told, recorded, used = revoked.json["warnings"]
    assert "stored, but the running processes could not be told" in told
    assert "seconds after it is back" in told
    assert "the audit record does not say so" in recorded
    assert "last used is not known" in used
    assert [each["state"] for each in after.json["keys"] if each["id"] == key["id"]] == ["revoked"]
    wait_until_sync(lambda: office.dashboard.call("/api/v1/events/none", token=key["key"]).status == 401, within=WITHIN)
    assert office.ask("admin", "GET", "/keys?tenant=acme").json["lastUseKnown"] is True


@pytest.mark.usefixtures("without_redis")
def test_without_redis_nothing_is_given_and_the_answer_says_so(office: Office) -> None:
    for path, content in (("/tenants", {"id": "globex"}), ("/keys", {"tenantId": "acme", "name": "web"})):
        answer = office.ask("admin", "POST", path, content)
        assert (answer.status, answer.json["detail"]) == (
            503,
            "Nothing was done, since it cannot be recorded now: try again.",
        )


def test_without_the_store_questions_and_changes_say_what_was_not_done(office: Office) -> None:
    assert office.ask("admin", "GET", "/tenants").status == 200
    office.cosmos.stop()
    try:
        question = office.ask("admin", "GET", "/keys?tenant=acme")
        change = office.ask("admin", "POST", "/tenants", {"id": "globex"})
    finally:
        office.cosmos.start()

    assert (question.status, question.json["detail"]) == (503, "Tenants and keys cannot be read now: try again.")
    assert change.status == 503
    assert "Whether this change is made is not known" in change.json["detail"]
    assert "127.0.0.1" not in (question.body + change.body).decode()
