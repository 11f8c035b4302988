"""Makes a key, wherever it is kept then: in the directory or in a file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, TypeVar

import msgspec

from cloudscale.access import api_key
from cloudscale.access.records import Device, Key, Tenant
from cloudscale.access.scopes import Scope
from cloudscale.errors import ConfigurationError
from cloudscale.pipeline.browser import ORIGIN_RULE, is_origin

R = TypeVar("R", Tenant, Key, Device)

_DIRECTIONS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Unicode's explicit formatting characters of bidirectional text (UAX #9)."""


class NotPossibleError(ConfigurationError):
    """A change cannot be made as it is asked for."""


class NewKey(NamedTuple):
    """A key that has just been made. Its text is known now and never again."""

    text: str
    record: Key


class KeyRights(msgspec.Struct, frozen=True, kw_only=True):
    """What a new key may do, and where; see :class:`cloudscale.access.records.Key`."""

    scopes: frozenset[Scope] = frozenset({Scope.WRITE_EVENTS})
    event_types: frozenset[str] | None = None
    device_id: str | None = None
    is_server: bool = False
    origins: frozenset[str] | None = None
    requests_per_second: float | None = None


SENDS_EVENTS = KeyRights()


def rights_of(key: Key) -> KeyRights:
    """What a key may do."""
    return KeyRights(**{field: getattr(key, field) for field in KeyRights.__struct_fields__})


def lifetime_of(key: Key) -> timedelta | None:
    """How long a key was made for; None for one without an end."""
    return None if key.expires_at is None else key.expires_at - key.created_at


def new_key(
    tenant_id: str, name: str, *, rights: KeyRights = SENDS_EVENTS, expires_in: timedelta | None = None
) -> NewKey:
    """A key that nobody else has; ``expires_in`` is None for one without an end.

    Raises:
        NotPossibleError: something that is given cannot be used.
    """
    check_name(name)
    if rights.origins is not None:
        check_public(rights, rights.origins)
    made, now = api_key.generate(), datetime.now(UTC)
    record = checked(
        Key(
            id=made.id,
            tenant_id=tenant_id,
            name=name,
            digest=api_key.digest_of(made.secret),
            created_at=now,
            expires_at=None if expires_in is None else now + expires_in,
            **{field: getattr(rights, field) for field in rights.__struct_fields__},
        )
    )
    return NewKey(made.text, record)


def check_name(name: str) -> None:
    """Make sure that a key's name looks like what it is, since people choose by it which key to revoke.

    Raises:
        NotPossibleError: it has blanks and invisible characters only, or one that changes the direction of the text.
    """
    if not _DIRECTIONS.isdisjoint(name):
        raise NotPossibleError(f"the name {name!a} has a character that turns the text around it: leave that out")
    if not any(each.isprintable() and not each.isspace() for each in name):
        raise NotPossibleError(f"the name {name!r} cannot be seen: give a word that says what the key is for")


def check_public(rights: KeyRights, origins: frozenset[str]) -> None:
    """Make sure that a key may be public, and works where it should.

    Raises:
        NotPossibleError: it may do too much, or no page has such an origin.
    """
    if rights.scopes != {Scope.WRITE_EVENTS}:
        raise NotPossibleError(
            "a key for web pages is public, so it may have the scope events:write only: leave out the others"
        )
    if rights.is_server or rights.device_id is not None:
        raise NotPossibleError(
            "a key for web pages is public, so it can be no server's and no device's: leave that out"
        )
    wrong = sorted(origin for origin in origins if not is_origin(origin))
    if wrong:
        raise NotPossibleError(f"{wrong[0]!r} {ORIGIN_RULE}")


def checked(record: R) -> R:
    """The record, if it is one by its own rules, which a struct that is made in Python has not been asked about.

    Raises:
        NotPossibleError: a field cannot be used.
    """
    try:
        msgspec.convert(msgspec.to_builtins(record), type(record))
    except msgspec.ValidationError as error:
        raise NotPossibleError(f"this cannot be used: {error}") from None
    return record
