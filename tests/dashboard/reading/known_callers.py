"""Callers for the tests of routes, known by what they send."""

from __future__ import annotations

from cloudscale.access.caller import AccessUnavailableError, Caller, NotAllowedError, NotAuthenticatedError
from cloudscale.access.scopes import Scope

READ = frozenset({Scope.READ_EVENTS})

CALLERS: dict[str, Caller] = {
    "contoso-key": Caller(name="contosokey00", tenant_id="contoso", scopes=READ),
    "another-key-of-contoso": Caller(name="contosokey01", tenant_id="contoso", scopes=READ),
    "fabrikam-key": Caller(name="fabrikamkey0", tenant_id="fabrikam", scopes=READ),
    "writer-key": Caller(name="contosokey02", tenant_id="contoso", scopes=frozenset({Scope.WRITE_EVENTS})),
    "admin-key": Caller(name="contosokey03", tenant_id="contoso", scopes=frozenset({Scope.ADMIN})),
    "contoso-admin-key": Caller(
        name="contosokey04", tenant_id="contoso", scopes=frozenset({Scope.TENANT_ADMIN, Scope.WRITE_EVENTS})
    ),
}


class KnownCallers:
    """Takes :data:`CALLERS`, and plays a directory that is away and a tenant that is disabled."""

    async def caller_of(self, authorization: str | None, *, address: str) -> Caller:
        """The caller of a header; raises what the real directory raises."""
        assert address
        if not authorization:
            raise NotAuthenticatedError("there is no key or token", code="")
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthenticatedError("Authorization must be Bearer", code="invalid_request")
        if text == "unknown-now":
            raise AccessUnavailableError("the directory at 10.0.0.7 does not answer")
        if text == "disabled":
            raise NotAllowedError("the tenant contoso is disabled")
        if text not in CALLERS:
            raise NotAuthenticatedError("this key is not valid")
        return CALLERS[text]


def bearer(text: str) -> dict[str, str]:
    """The header that a caller sends."""
    return {"Authorization": f"Bearer {text}"}
