"""Makes events their sender's: the key or token decides the tenant and the device, whatever the event says."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from cloudscale.events.checking import FieldError
from cloudscale.ingestion.problems import SAMPLE_BYTES, Kind, Problem, Refused
from cloudscale.limits.addresses import normalise

if TYPE_CHECKING:
    from cloudscale.access.caller import Caller
    from cloudscale.events.checking import Document


def claim(event: Document, caller: Caller, content: bytes) -> None:
    """Give an event the tenant of its sender, and the device if the sender is one.

    Args:
        event: as it was sent; it is changed.
        caller: the sender.
        content: the event's bytes, for those who look into a refusal.

    Raises:
        Refused: it names another tenant or device, or is of a type that the sender may not send.
    """
    _fill_in(event, "tenantId", caller.tenant_id, caller, content)
    if caller.device_id is not None:
        _fill_in(event, "deviceId", caller.device_id, caller, content)
    if caller.event_types is not None and (event_type := event.get("eventType")) not in caller.event_types:
        if not isinstance(event_type, str):
            # The check of the event says what is wrong with that.
            return
        allowed = ", ".join(sorted(caller.event_types))
        raise _forbidden("eventType", f"{caller.name} may send {allowed} only", caller, content, "event-type")


def _fill_in(event: Document, field: str, value: str, caller: Caller, content: bytes) -> None:
    given = event.get(field)
    if given is None:
        event[field] = value
    elif given != value:
        wrong = f"must be left out or {value}, for which {caller.name} sends"
        raise _forbidden(field, wrong, caller, content, "other-tenant" if field == "tenantId" else "other-device")


def _forbidden(field: str, wrong: str, caller: Caller, content: bytes, reason: str) -> Refused:
    return Refused(
        Problem(
            Kind.FORBIDDEN,
            f"{field} {wrong}",
            reason,
            (FieldError(f"/{field}", wrong),),
            tenant_id=caller.tenant_id,
            content=content[:SAMPLE_BYTES],
        )
    )


def end_users_address(event: Document, caller: Caller, content: bytes) -> str:
    """The address of the end user that a server sends for, taken out of the event; empty if the server names none.

    Raises:
        Refused: what the server names is no address.
    """
    given = event.pop("clientAddress", None)
    if given is None:
        return ""
    try:
        return normalise(str(ipaddress.ip_address(given))) if isinstance(given, str) else _no_address(content, caller)
    except ValueError:
        return _no_address(content, caller)


def _no_address(content: bytes, caller: Caller) -> str:
    wrong = "must be one IPv4 or IPv6 address, the end user's"
    raise Refused(
        Problem(
            Kind.INVALID,
            f"clientAddress {wrong}",
            "validation",
            (FieldError("/clientAddress", wrong),),
            tenant_id=caller.tenant_id,
            content=content[:SAMPLE_BYTES],
        )
    )
