"""Keys as a file gives them: what an entry may say, and what is left out of a file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.access.given_keys import LARGEST_FILE_BYTES, entry_of, read
from cloudscale.access.new_keys import KeyRights, NewKey, new_key
from cloudscale.access.records import Reference, Tenant
from cloudscale.access.scopes import Scope
from cloudscale.errors import ConfigurationError

DIGEST = "0123456789abcdef" * 4
ID = "abcdefghijkl"


def file_of(*keys: NewKey) -> bytes:
    return yaml.safe_dump([entry_of(key.record) for key in keys]).encode()


def entry(**fields: Any) -> dict[str, Any]:
    return {"id": ID, "tenantId": "acme", "digest": DIGEST, **fields}


def problems_of(*entries: Any) -> tuple[str, ...]:
    return read(msgspec.json.encode(entries)).problems


def test_a_file_gives_keys_and_the_tenants_that_they_name() -> None:
    key = new_key("acme", "web", rights=KeyRights(is_server=True))
    found = read(file_of(key))
    assert found.find(Reference("key", key.record.id)) == key.record
    tenant = found.find(Reference("tenant", "acme"))
    assert isinstance(tenant, Tenant)
    assert (tenant.id, tenant.disabled) == ("acme", False)
    assert found.find(Reference("tenant", key.record.id)) is None
    assert found.problems == ()


def test_the_shortest_entry_is_a_key_that_sends_without_an_end() -> None:
    key = read(msgspec.json.encode([entry()])).keys[ID]
    assert (key.name, key.scopes, key.expires_at) == (ID, frozenset({Scope.WRITE_EVENTS}), None)


def test_a_time_may_be_written_as_yaml_writes_it() -> None:
    key = read(f"- {{id: {ID}, tenantId: acme, digest: {DIGEST}, expiresAt: 2027-01-31T00:00:00Z}}".encode()).keys[ID]
    assert key.expires_at == datetime(2027, 1, 31, tzinfo=UTC)


def test_a_key_has_the_limit_that_its_entry_says() -> None:
    assert read(msgspec.json.encode([entry(requestsPerSecond=5)])).keys[ID].requests_per_second == 5


def test_an_id_of_digits_alone_is_an_id() -> None:
    assert read(f"- {{id: 012345678901, tenantId: 7, digest: {DIGEST}}}".encode()).keys["012345678901"].tenant_id == "7"


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"digest": "abc"}, "$.digest"),
        ({"digest": DIGEST.upper()}, "$.digest"),
        ({"secret": "cs_abc"}, "unknown field `secret`"),
        ({"scopes": ["everything"]}, "'everything' - at `$.scopes[0]`"),
        ({"scopes": []}, "$.scopes"),
        ({"expiresAt": "2027-01-31"}, "$.expiresAt"),
        ({"expiresAt": "2027-01-31T00:00:00"}, "$.expiresAt"),
        ({"tenantId": "a/b"}, "$.tenantId"),
        ({"origins": ["https://shop.example"], "scopes": ["events:write", "events:read"]}, "events:write only"),
        ({"origins": ["https://shop.example"], "deviceId": "till-7"}, "no server's and no device's"),
        ({"origins": ["https://shop.example"], "isServer": True}, "no server's and no device's"),
        ({"requestsPerSecond": 0}, "$.requestsPerSecond"),
    ],
)
def test_a_wrong_entry_is_left_out_by_name_and_the_others_hold(wrong: dict[str, Any], problem: str) -> None:
    good = new_key("acme", "good")
    found = read(msgspec.json.encode([entry(**wrong), entry_of(good.record)]))
    assert found.keys == {good.record.id: good.record}
    (said,) = found.problems
    assert said.startswith(f"entry 1, key {ID}: ")
    assert problem in said


def test_of_two_entries_with_one_id_the_first_counts() -> None:
    found = read(msgspec.json.encode([entry(name="first"), entry(name="second")]))
    assert found.keys[ID].name == "first"
    assert found.problems == (f"entry 2, key {ID}: an entry before it has the same id",)


def test_a_whole_key_in_the_place_of_an_id_is_not_repeated() -> None:
    key = new_key("acme", "web")
    (said,) = problems_of(entry(id=key.text))
    assert said.startswith("entry 1: ")
    assert key.text[20:] not in said


@pytest.mark.parametrize("content", [b"a: b", b"text", b"- a\n b: [", b"\xff", b"[" * 5000])
def test_what_is_no_list_is_refused_as_a_whole(content: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"it is not"):
        read(content)


@pytest.mark.parametrize("content", [b"", b"\n", b"[]", b"# nobody yet\n", b"# nobody yet\n[]\n"])
def test_an_empty_file_gives_nothing(content: bytes) -> None:
    assert read(content) == read(b"")


def test_a_file_is_bounded() -> None:
    with pytest.raises(ConfigurationError, match="more than 1,048,576 bytes"):
        read(b" " * (LARGEST_FILE_BYTES + 1))


@given(
    tenant=st.from_regex(r"[A-Za-z0-9]{1,20}", fullmatch=True),
    name=st.text(st.characters(min_codepoint=0x20, exclude_characters="\x7f", exclude_categories=["C"]), min_size=1),
    scopes=st.frozensets(st.sampled_from(Scope), min_size=1),
    event_types=st.none() | st.frozensets(st.from_regex(r"[a-z_]{1,20}", fullmatch=True), min_size=1),
    ends=st.none() | st.timedeltas(),
    is_server=st.booleans(),
)
def test_what_is_written_is_read_again(tenant: str, name: str, ends: Any, **rights: Any) -> None:
    try:
        made = new_key(tenant, name, rights=KeyRights(**rights))
    except ConfigurationError:
        return
    expires_at = None
    if ends is not None:
        try:
            expires_at = made.record.created_at + ends
        except OverflowError:
            return
    key = msgspec.structs.replace(made.record, expires_at=expires_at)
    for content in (yaml.safe_dump([entry_of(key)]).encode(), msgspec.json.encode([entry_of(key)])):
        found = read(content)
        assert found.problems == ()
        assert dict(found.keys) == {key.id: key}


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_nothing_in_a_list_breaks_it(anything: Any) -> None:
    good = new_key("acme", "good").record
    found = read(yaml.safe_dump([anything, entry_of(good)]).encode())
    assert found.keys == {good.id: good}
    assert len(found.problems) == 1
