"""Keys that a file gives, beside those in the directory: without their secrets, so that it may lie in a repository.

The file is a YAML or JSON list with an entry for each key. An entry that cannot be used is left out, and said by name;
the others hold. A tenant that an entry names exists by that alone, where the directory has none of that id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, Final

import msgspec
import yaml
from msgspec import Meta

from cloudscale.access.new_keys import KeyRights, check_public
from cloudscale.access.records import (
    MOST_EVENT_TYPES,
    MOST_ORIGINS,
    Key,
    KeyId,
    Origin,
    Reference,
    RequestsPerSecond,
    Tenant,
)
from cloudscale.access.scopes import Scope
from cloudscale.errors import ConfigurationError
from cloudscale.events.checking import EventId, ShortText, TenantId

LARGEST_FILE_BYTES: Final = 1024 * 1024
"""As much as a Secret holds."""

UNKNOWN_SINCE: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""When a key was made whose entry does not say."""

_KEY_ID: Final = re.compile(r"[0-9A-Za-z]{12}")
# It takes every scalar as text, so that no id or digest becomes a number.
_Loader: Final = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class Entry(msgspec.Struct, frozen=True, rename="camel", kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One key, as the file has it. Its fields mean what they do in :class:`cloudscale.access.records.Key`."""

    id: KeyId
    tenant_id: TenantId
    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    name: ShortText | None = None
    scopes: Annotated[frozenset[Scope], Meta(min_length=1)] = frozenset({Scope.WRITE_EVENTS})
    created_at: Annotated[datetime, Meta(tz=True)] | None = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    event_types: Annotated[frozenset[ShortText], Meta(min_length=1, max_length=MOST_EVENT_TYPES)] | None = None
    device_id: EventId | None = None
    is_server: bool = False
    origins: Annotated[frozenset[Origin], Meta(min_length=1, max_length=MOST_ORIGINS)] | None = None
    requests_per_second: RequestsPerSecond | None = None

    @property
    def rights(self) -> KeyRights:
        """What the key may do, and where."""
        return KeyRights(**{name: getattr(self, name) for name in KeyRights.__struct_fields__})


class GivenKeys(msgspec.Struct, frozen=True):
    """What one file gives. ``problems`` has a line for each entry that is left out."""

    keys: Mapping[str, Key] = MappingProxyType({})
    tenants: Mapping[str, Tenant] = MappingProxyType({})
    problems: tuple[str, ...] = ()

    def find(self, reference: Reference) -> Tenant | Key | None:
        """A key, or a tenant that a key names; None if the file has none of that id."""
        return (self.keys if reference.kind == "key" else self.tenants).get(reference.id)


NOTHING: Final = GivenKeys()


def read(content: bytes) -> GivenKeys:
    """What a file with this content gives.

    Raises:
        ConfigurationError: it is no list at all. The message quotes nothing of it.
    """
    if len(content) > LARGEST_FILE_BYTES:
        raise ConfigurationError(f"it has more than {LARGEST_FILE_BYTES:,} bytes: it should hold nothing but keys")
    try:
        entries = yaml.load(content.decode(), _Loader)  # noqa: S506 - a loader of text, lists and mappings alone
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise ConfigurationError("it is not valid YAML or JSON") from None
    if entries is None:
        # Nothing, or comments alone.
        return NOTHING
    if not isinstance(entries, list):
        raise ConfigurationError("it is not a list of keys: begin each with a dash, as cloudscale keys create does")
    keys: dict[str, Key] = {}
    problems = []
    for number, entry in enumerate(entries, 1):
        try:
            key = _key(entry, others=keys)
        except ConfigurationError as error:
            problems.append(f"{_called(entry, number)}: {error}")
        else:
            keys[key.id] = key
    tenants = {key.tenant_id: Tenant(id=key.tenant_id, created_at=UNKNOWN_SINCE) for key in keys.values()}
    return GivenKeys(keys, tenants, tuple(problems))


def entry_of(key: Key) -> dict[str, Any]:
    """The entry of a key, as it is written into the file."""
    fields = {name: getattr(key, name) for name in Entry.__struct_fields__}
    entry: dict[str, Any] = msgspec.to_builtins(Entry(**fields), order="deterministic")
    return {name: entry[name] for name in Entry.__struct_encode_fields__ if name in entry}


def _key(entry: object, *, others: Mapping[str, Key]) -> Key:
    """The key of an entry.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        # Everything is text until here.
        given = msgspec.convert(entry, Entry, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(str(error)) from None
    if given.id in others:
        raise ConfigurationError("an entry before it has the same id")
    if given.origins is not None:
        check_public(given.rights, given.origins)
    fields = {name: getattr(given, name) for name in Entry.__struct_fields__}
    return Key(**fields | {"name": given.name or given.id, "created_at": given.created_at or UNKNOWN_SINCE})


def _called(entry: object, number: int) -> str:
    """What a message calls an entry. Something else than an id in its place may be a secret."""
    identity = entry.get("id") if isinstance(entry, dict) else None
    if isinstance(identity, str) and _KEY_ID.fullmatch(identity):
        return f"entry {number}, key {identity}"
    return f"entry {number}"
