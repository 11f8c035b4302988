"""What the description of the dashboard's API says of tenants, keys and new devices."""

from __future__ import annotations

from typing import Any, Final

from cloudscale.dashboard.administering.models import (
    ChangedKey,
    ChangedTenant,
    KeyChange,
    KeyPage,
    MadeKey,
    NewTenant,
    Rotation,
    ShownTenant,
    TenantChange,
    TenantPage,
    WantedDevice,
    WantedKey,
)
from cloudscale.dashboard.administering.positions import MOST_CHARACTERS, MOST_RECORDS, USUAL_RECORDS
from cloudscale.dashboard.body_limit import MAXIMUM_BODY_BYTES
from cloudscale.dashboard.reading.openapi_parts import in_path, parameter, reference, refusal, responses

MODELS: Final = (
    *(ChangedKey, ChangedTenant, KeyChange, KeyPage, MadeKey, NewTenant, Rotation, ShownTenant, TenantChange),
    *(TenantPage, WantedDevice, WantedKey),
)

_ABSENT: Final = "There is no such tenant, key or device among those that may be administered."
_REFUSALS: Final = {
    "400": "The body or a parameter is wrong, or a field stands twice; detail says where.",
    "401": "There is no key or token, or it does not hold; WWW-Authenticate says so too.",
    "403": "The key or token lacks the scope, is for another tenant, or would hand out what it does not have.",
    "429": "Over the limit of one key or token; Retry-After says how long to wait.",
    "503": "The directory cannot be asked, or the change cannot be recorded now; detail says what was not done.",
}
_OF_ONE: Final = {**_REFUSALS, "404": _ABSENT}
_MADE: Final = "Made. The key is in this answer and is not told again."


def paths() -> dict[str, Any]:
    """The addresses with what can be done at each."""
    cursor = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": MOST_CHARACTERS}
    count = {"type": "integer", "minimum": 1, "maximum": MOST_RECORDS, "default": USUAL_RECORDS}
    page = [
        parameter("limit", count, "How many records a page has at the most."),
        parameter("cursor", cursor, "next of the page before; the tenant must be the same."),
    ]
    tenant = parameter("tenant", {"type": "string", "maxLength": 64}, "Only keys of this tenant.")
    tenant_id = in_path("tenant_id", {"type": "string", "minLength": 1, "maxLength": 64}, "The tenant's id.")
    key_id = in_path("key_id", {"type": "string", "minLength": 1}, "The key's id: the part between cs_ and the next _.")
    return {
        "/api/v1/tenants": {
            "get": _operation("List the tenants", responses("TenantPage", _REFUSALS), page),
            "post": _operation(
                "Create a tenant",
                responses(
                    "ChangedTenant",
                    {**_REFUSALS, "409": "There is a tenant with this id."},
                    status="201",
                    meaning="Created.",
                ),
                body="NewTenant",
            ),
        },
        "/api/v1/tenants/{tenant_id}": {
            "get": _operation("Read one tenant", responses("ShownTenant", _OF_ONE), [tenant_id]),
            "patch": _operation(
                "Change a tenant's quota, or disable or enable it",
                responses("ChangedTenant", _OF_ONE, meaning="Changed."),
                [tenant_id],
                body="TenantChange",
            ),
        },
        "/api/v1/keys": {
            "get": _operation("List keys, without their secrets", responses("KeyPage", _OF_ONE), [tenant, *page]),
            "post": _operation(
                "Create a key", responses("MadeKey", _OF_ONE, status="201", meaning=_MADE), body="WantedKey"
            ),
        },
        "/api/v1/keys/{key_id}": {
            "patch": _operation(
                "Change a key's name, end or limit",
                responses("ChangedKey", {**_OF_ONE, "409": "The key is revoked."}, meaning="Changed."),
                [key_id],
                body="KeyChange",
            ),
        },
        "/api/v1/keys/{key_id}/rotate": {
            "post": _operation(
                "Replace a key by one with the same rights; the old one holds for the overlap",
                responses("MadeKey", {**_OF_ONE, "409": "The key is revoked."}, status="201", meaning=_MADE),
                [key_id],
                body="Rotation",
            ),
        },
        "/api/v1/keys/{key_id}/revoke": {
            "post": _operation("End a key now", responses("ChangedKey", _OF_ONE, meaning="Revoked."), [key_id]),
        },
    }


def create_device() -> dict[str, Any]:
    """What makes a device, at the address where devices are read."""
    answers = responses(
        "MadeKey",
        {**_OF_ONE, "409": "The tenant has a device with this id."},
        status="201",
        meaning="Created. The device's key is in this answer and is not told again.",
    )
    return _operation("Create a device with a key of its own", answers, body="WantedDevice")


def _operation(
    summary: str,
    answers: dict[str, Any],
    parameters: list[dict[str, Any]] | None = None,
    *,
    body: str | None = None,
) -> dict[str, Any]:
    described: dict[str, Any] = {"summary": summary, "parameters": parameters or [], "responses": answers}
    if body is not None:
        content = {"application/json": {"schema": reference(body)}}
        answers["413"] = refusal(f"The body is longer than {MAXIMUM_BODY_BYTES:,} bytes.")
        described["requestBody"] = {"required": body != "Rotation", "content": content}
    return described
