"""What clients may not send though its type takes it: ids that look like others, passwords in an address."""

from __future__ import annotations

import pytest

from cloudscale.events.unsafe_texts import find_unsafe_texts

PAGE_VIEW = {"eventType": "page_view", "tenantId": "acme", "url": "https://x.example/"}


def messages(**fields: object) -> dict[str, str]:
    return {error.pointer: error.message for error in find_unsafe_texts({**PAGE_VIEW, **fields})}


@pytest.mark.parametrize("name", ["eventId", "userId"])
@pytest.mark.parametrize("text", [" ", "   ", "\u00a0", "\u2003 "])
def test_an_id_of_blanks_is_refused(name: str, text: str) -> None:
    assert messages(**{name: text}) == {f"/{name}": "must not consist of blanks only"}


@pytest.mark.parametrize("name", ["eventId", "userId"])
@pytest.mark.parametrize("code", [*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
def test_an_id_that_turns_the_direction_of_text_is_refused(name: str, code: int) -> None:
    assert "direction of text" in messages(**{name: f"a{chr(code)}b"})[f"/{name}"]


@pytest.mark.parametrize("text", ["a b", "é", "שלום", "order 17", "\u2029", "\u202f", "\u2065x", "\u206a"])
def test_other_ids_pass(text: str) -> None:
    if not text.isspace():
        assert messages(eventId=text, userId=text) == {}


@pytest.mark.parametrize(
    "url",
    [
        "https://user:pw@host/",
        "https://user:@host",
        "https://token@host/path",
        "HTTPS://user:p%40w@host?x",
        "//user:pw@host/",
        "ftp://user:p@w@host/",
        "android-app://user:pw@com.example/",
    ],
)
def test_an_address_with_a_password_is_refused_without_repeating_it(url: str) -> None:
    message = messages(url=url)["/url"]

    assert "password" in message
    assert "pw" not in message


@pytest.mark.parametrize(
    "url",
    [
        "https://host/@user",
        "https://host/a:b@c",
        "https://host?mail=a:b@c",
        "https://host#a@b",
        "mailto:ada@host",
        "/path//a:b@c",
        "u@v",
    ],
)
def test_other_addresses_with_an_at_pass(url: str) -> None:
    assert messages(url=url) == {}


def test_an_address_of_another_type_is_that_types_own() -> None:
    assert messages(eventType="user_action", url="https://user:pw@host/") == {}


@pytest.mark.parametrize("value", [None, 5, ["a"], {}])
def test_what_is_no_text_is_left_to_the_type(value: object) -> None:
    assert messages(eventId=value, userId=value, url=value) == {}
