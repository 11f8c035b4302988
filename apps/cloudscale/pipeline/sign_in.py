"""How people sign in to the dashboard with OpenID Connect: the issuer, and who gets which role."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta

from cloudscale.pipeline.access import ClaimName, IssuerUrl  # noqa: TC001 - msgspec reads annotations at run time
from cloudscale.pipeline.fields import Model, SecretKey
from cloudscale.pipeline.rules import Rule, excludes, rules

_ON_THIS_MACHINE = r"^http://(localhost|127[.]0[.]0[.]1)(:[0-9]+)?$"
PROTECTED_ORIGIN = Rule(
    f"self.startsWith('https://') || self.matches('{_ON_THIS_MACHINE}')",
    "must be https://; http:// is for a loopback address only",
    lambda self: self.startswith("https://") or re.match(_ON_THIS_MACHINE, self) is not None,
)

WebOrigin = Annotated[
    str,
    Meta(pattern=r"^https?://[a-z0-9.-]+(:[0-9]{1,5})?$", max_length=255, extra_json_schema=rules(PROTECTED_ORIGIN)),
]
ClaimValue = Annotated[str, Meta(min_length=1, max_length=256)]
SignInScope = Annotated[str, Meta(pattern=r"^[!#-\[\]-~]+$", max_length=128)]
RoleName = Literal["viewer", "operator", "admin"]


class RoleRule(Model, frozen=True):
    """What one value of the roles claim gives a person."""

    value: Annotated[ClaimValue, Meta(description="Value in the roles claim, such as the name or id of a group.")]
    role: Annotated[
        RoleName,
        Meta(
            description="viewer reads; operator also replays and discards dead letters; admin also manages access. "
            "Of several that a person has, the strongest counts."
        ),
    ]
    tenants: Annotated[
        Annotated[tuple[ClaimValue, ...], Meta(min_length=1, max_length=100)] | None,
        Meta(description="Tenants that the person sees; without this and tenantsClaim all of them."),
    ] = None
    tenants_claim: Annotated[
        ClaimName | None,
        Meta(description="Claim with the person's tenants, one text or a list; who has none is refused."),
    ] = None


ONE_WAY_TO_THE_TENANTS = excludes("tenants", "tenantsClaim")


class SignIn(Model, frozen=True):
    """An OpenID Connect provider that people sign in with."""

    issuer: Annotated[
        IssuerUrl, Meta(description="Address of the issuer, exactly as its tokens say it: with or without a slash.")
    ]
    client_id: Annotated[
        Annotated[str, Meta(min_length=1, max_length=256)],
        Meta(description="Name under which the issuer knows the dashboard."),
    ]
    origin: Annotated[
        WebOrigin,
        Meta(
            description="Scheme, host and port at which browsers reach the dashboard. The issuer must allow "
            "ORIGIN/sign-in/callback to return to, and ORIGIN/sign-in after signing out."
        ),
    ]
    roles: Annotated[
        tuple[Annotated[RoleRule, Meta(extra_json_schema=rules(ONE_WAY_TO_THE_TENANTS))], ...],
        Meta(description="Who gets which role. Who has none is refused.", min_length=1, max_length=64),
    ]
    client_secret_ref: Annotated[
        SecretKey | None,
        Meta(description="Where the client's secret is; without it the client is public and has PKCE alone."),
    ] = None
    name: Annotated[
        Annotated[str, Meta(min_length=1, max_length=64)] | None,
        Meta(description="What the button calls the provider; left out for the issuer's host."),
    ] = None
    scopes: Annotated[
        tuple[SignInScope, ...],
        Meta(
            description="Scopes asked for beside openid. offline_access makes most issuers give a refresh token, "
            "without which people sign in again after 15 minutes.",
            max_length=32,
        ),
    ] = ("profile", "email", "offline_access")
    roles_claim: Annotated[ClaimName, Meta(description="Claim that the rules of roles read: one text or a list.")] = (
        "groups"
    )
