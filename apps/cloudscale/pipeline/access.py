"""Who may send events and read them, as the resource says it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta

from cloudscale.pipeline.browser import Browser
from cloudscale.pipeline.fields import DataKey, Model, ObjectName, SecretKey
from cloudscale.pipeline.rules import Rule, rules

MOST_ISSUERS = 16
MOST_AUDIENCES = 16

_LOOPBACK = r"^http://(localhost|127[.]0[.]0[.]1|\[::1\])(:[0-9]{1,5})?(/.*)?$"
PROTECTED_ISSUER = Rule(
    f"self.startsWith('https://') || self.matches(r'{_LOOPBACK}')",
    "must be https://; http:// is for an issuer on a loopback address only",
    lambda self: self.startswith("https://") or re.match(_LOOPBACK, self) is not None,
)

IssuerUrl = Annotated[
    str,
    Meta(
        pattern=r"^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?$",
        max_length=512,
        extra_json_schema=rules(PROTECTED_ISSUER),
    ),
]
ClaimName = Annotated[str, Meta(pattern=r"^[!-~]+$", min_length=1, max_length=128)]
"""Printable and without spaces: some issuers name claims by URLs."""


class TokenIssuer(Model, frozen=True):
    """An issuer of OpenID Connect whose tokens are taken, and what its tokens say where."""

    issuer: Annotated[
        IssuerUrl,
        Meta(
            description="The issuer's identifier, to the letter as its tokens have it in iss, with or without a slash "
            "at the end. Its description and keys are fetched from there.",
        ),
    ]
    audiences: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[!-~]+$", min_length=1, max_length=256)], ...],
        Meta(
            description="Whom tokens must be for: one of these must be in their claim aud.",
            min_length=1,
            max_length=MOST_AUDIENCES,
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ]
    tenant_claim: Annotated[
        ClaimName, Meta(description="Name of the claim that names the tenant; a token without it is not taken.")
    ] = "tenant_id"
    scopes_claim: Annotated[
        ClaimName,
        Meta(
            description="Name of the claim that lists what the token allows (events:write, events:read, tenant:admin, "
            "admin), as text with spaces between or as an array. Others in it are passed over."
        ),
    ] = "scope"


class KeysSecret(Model, frozen=True):
    """Names one key of a Secret, which holds keys, in the pipeline's namespace."""

    name: Annotated[ObjectName, Meta(description="Name of the Secret.")]
    key: Annotated[DataKey, Meta(description="Key in the Secret's data.")] = "keys.yaml"


class GivenKeys(Model, frozen=True):
    """Keys that stand in a file, beside those in the directory."""

    secret_ref: Annotated[
        KeysSecret,
        Meta(
            description="Where the file is: a YAML or JSON list of keys without their secrets, as `cloudscale keys "
            "create --given FILE` writes it. What changes in it holds without a restart."
        ),
    ]


class Access(Model, frozen=True):
    """Who may send events."""

    mode: Annotated[
        Literal["Required", "Open"] | None,
        Meta(
            description="Required: whoever sends events needs an API key or a token, which decides the tenant. Open: "
            "anybody may send events for any tenant. Left out, it is Open for `cloudscale run` on a loopback address, "
            "and Required everywhere else."
        ),
    ] = None
    tokens: Annotated[
        tuple[TokenIssuer, ...],
        Meta(
            description="Issuers of OpenID Connect whose tokens (JWTs) are taken beside API keys.",
            max_length=MOST_ISSUERS,
            extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["issuer"]},
        ),
    ] = ()
    browser: Annotated[Browser, Meta(description="Web pages that send events themselves.")] = Browser()
    keys: Annotated[
        GivenKeys | None,
        Meta(description="Keys that are given by a file, for those who keep everything in a repository."),
    ] = None

    @property
    def given_keys(self) -> SecretKey | None:
        """Where the file of given keys is, None without one."""
        if self.keys is None:
            return None
        return SecretKey(name=self.keys.secret_ref.name, key=self.keys.secret_ref.key)
