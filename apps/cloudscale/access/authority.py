"""What an administrator may administer: which tenants, and which rights a key that it makes or renews may have.

Nobody hands out more than he has. A key with a right that its maker lacks would be a way to that right, and so would a
new secret for a key that has it already. Who administers a tenant may hand out sending and reading in it, also without
doing either: that is what administering is for. A key that ends makes none that outlives it.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from cloudscale.access.caller import NotAllowedError
from cloudscale.access.scopes import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloudscale.access.caller import Caller
    from cloudscale.access.new_keys import KeyRights
    from cloudscale.access.records import Key

EVERY_SCOPE: Final = frozenset(Scope)
SCOPES_OF_A_TENANT: Final = EVERY_SCOPE - {Scope.ADMIN}
SCOPES_OF_EVENTS: Final = frozenset({Scope.WRITE_EVENTS, Scope.READ_EVENTS})


class Authority(msgspec.Struct, frozen=True, kw_only=True):
    """What one administrator may do. ``who`` is how the audit record names it."""

    who: str
    tenants: frozenset[str] | None = None
    """Whose keys it administers; None for everybody's, and for the tenants themselves."""
    grants: frozenset[Scope] = EVERY_SCOPE
    """The scopes that it may hand out."""
    event_types: frozenset[str] | None = None
    """The types of event that its keys may send at the most; None for all."""
    device_id: str | None = None
    """The device that its keys must belong to; None for any or none."""
    expires_at: datetime | None = None
    """When its keys have to have ended; None for keys that need not end."""

    def require_all_tenants(self) -> None:
        """Make sure that it administers all tenants.

        Raises:
            NotAllowedError: it does not.
        """
        if self.tenants is not None:
            raise NotAllowedError(
                "tenants and their quotas are changed by an administrator of all tenants: this needs the scope admin",
                scope=Scope.ADMIN,
            )

    def require_tenant(self, tenant_id: str) -> None:
        """Make sure that it administers this tenant. Whether there is such a tenant makes no difference.

        Raises:
            NotAllowedError: it does not.
        """
        if self.tenants is not None and tenant_id not in self.tenants:
            raise NotAllowedError(
                "this is not for the tenant that was named: the scope admin allows it for every tenant",
                scope=Scope.ADMIN,
            )

    def require_rights(self, rights: KeyRights) -> None:
        """Make sure that it may hand out a key with these rights.

        Raises:
            NotAllowedError: it lacks one of them itself.
        """
        if lacking := sorted(rights.scopes - self.grants):
            raise NotAllowedError(
                f"a key cannot get the scope {' '.join(lacking)} from who does not have it: leave it out",
                scope=lacking[0],
            )
        if self.event_types is not None and not (rights.event_types and rights.event_types <= self.event_types):
            raise NotAllowedError(
                "the key that asks may send some types of event only, so a key that it makes must name types among "
                f"those: {_listed(self.event_types)}"
            )
        if self.device_id is not None and rights.device_id != self.device_id:
            raise NotAllowedError(f"the key that asks belongs to the device {self.device_id}, so a new one must too")

    def require_end(self, expires_at: datetime | None) -> None:
        """Make sure that it may hand out a key that ends then, None being never.

        Raises:
            NotAllowedError: the key would outlive the one that asks.
        """
        if self.expires_at is not None and (expires_at is None or expires_at > self.expires_at):
            raise NotAllowedError(
                f"the key that asks ends at {self.expires_at:%Y-%m-%d %H:%M:%S} UTC, and this one would outlive it: "
                "let it end before that, or ask with a key that lasts longer"
            )

    def require_rate(self, requests_per_second: float | None, tenants: float) -> None:
        """Make sure that it may let a key send so much, where its tenant may send ``tenants`` requests a second.

        Raises:
            NotAllowedError: it is more than the tenant may.
        """
        if self.tenants is not None and requests_per_second is not None and requests_per_second > tenants:
            raise NotAllowedError(
                f"the tenant may send {tenants:g} requests a second, so its administrator cannot give a key "
                f"{requests_per_second:g}"
            )

    def require_revocation(self, key: Key) -> None:
        """Make sure that it may end this key.

        Raises:
            NotAllowedError: the key administers all tenants, and this administrator does not.
        """
        if Scope.ADMIN in key.scopes and self.tenants is not None:
            raise NotAllowedError(
                f"the key {key.id} administers all tenants: only such an administrator ends it", scope=Scope.ADMIN
            )


def authority_of(caller: Caller) -> Authority:
    """What the caller behind a key or token may administer.

    Raises:
        NotAllowedError: nothing: it has neither of the scopes.
    """
    who = _named(caller)
    if Scope.ADMIN in caller.scopes:
        return Authority(who=who)
    if Scope.TENANT_ADMIN not in caller.scopes:
        has = ", ".join(sorted(caller.scopes)) or "none"
        raise NotAllowedError(
            f"this needs the scope {Scope.TENANT_ADMIN} or {Scope.ADMIN}; {caller.name} has {has}",
            scope=Scope.TENANT_ADMIN,
        )
    return Authority(
        who=who,
        tenants=frozenset({caller.tenant_id}),
        grants=caller.scopes | SCOPES_OF_EVENTS,
        event_types=caller.event_types,
        device_id=caller.device_id,
        expires_at=caller.expires_at,
    )


def _named(caller: Caller) -> str:
    if caller.subject is not None:
        return f"{caller.subject} of {caller.tenant_id} (token {caller.name})"
    return f"key {caller.name} of {caller.tenant_id}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
