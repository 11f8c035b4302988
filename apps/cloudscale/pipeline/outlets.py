"""The outlets of the resource: who is sent the stored events, by webhook."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from cloudscale.pipeline.fields import BoundedDuration, Model, SecretKey
from cloudscale.pipeline.rules import Rule, between, rules

MOST_OUTLETS: Final = 10

FROM_A_SECOND_TO_A_MINUTE = between("1s", "1m")
FROM_A_SECOND_TO_A_DAY = between("1s", "24h")
PROTECTED_WEBHOOK = Rule(
    "self.url.startsWith('https://') || self.allowPrivate",
    "must be https://; http:// needs allowPrivate: true, for a receiver in a network of your own",
    lambda self: self["url"].startswith("https://") or bool(self["allowPrivate"]),
    field="url",
)
_SET = {"x-kubernetes-list-type": "set"}

WebhookUrl = Annotated[
    str,
    Meta(pattern=r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[!$-~]*)?$", max_length=2048),
]


class Webhook(Model, frozen=True):
    """An HTTP endpoint that events are posted to, signed as Standard Webhooks says."""

    url: Annotated[
        WebhookUrl,
        Meta(
            description="Where events are posted to. https:// unless `allowPrivate` is true; no user, no fragment. A "
            "redirect is not followed."
        ),
    ]
    secret_ref: Annotated[
        SecretKey,
        Meta(
            description="Where the signing secret is: `whsec_` and 24 to 64 bytes in base64. Several with spaces "
            "between sign each request several times, which is how a secret is replaced. `cloudscale run` has it from "
            "the environment variable `CLOUDSCALE_OUTLET_SECRET_NAME` instead, NAME being the outlet's in capitals "
            "with `_` for `-`."
        ),
    ]
    batch: Annotated[
        int,
        Meta(
            description="Events in one request at the most. 1 posts each event by itself (CloudEvents structured "
            "mode), which every receiver understands; more posts JSON arrays (CloudEvents batched mode), which is many "
            "times as fast.",
            ge=1,
            le=500,
        ),
    ] = 1
    timeout: Annotated[
        BoundedDuration,
        Meta(
            description="How long a request may take, from 1s to 1m.",
            extra_json_schema=rules(FROM_A_SECOND_TO_A_MINUTE),
        ),
    ] = "10s"
    retry_for: Annotated[
        BoundedDuration,
        Meta(
            description="How long a request that fails is repeated, from 1s to 24h. Then its events are parked and "
            "the outlet goes on.",
            extra_json_schema=rules(FROM_A_SECOND_TO_A_DAY),
        ),
    ] = "24h"
    allow_private: Annotated[
        bool,
        Meta(
            description="Whether the receiver may be at a private or loopback address. On Kubernetes its host must "
            "then be one that the operator allows. Link-local addresses are never connected to."
        ),
    ] = False


class Filter(Model, frozen=True):
    """Which events an outlet sends: those that meet all that is given."""

    event_types: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)], ...],
        Meta(description="Types of event that are sent; none for all.", max_length=100, extra_json_schema=_SET),
    ] = ()
    suspicious: Annotated[
        bool | None,
        Meta(description="true sends only events that the fraud rules flag, false only the others."),
    ] = None
    tenants: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...],
        Meta(description="Tenants whose events are sent; none for all.", max_length=100, extra_json_schema=_SET),
    ] = ()


class Outlet(Model, frozen=True):
    """A subscriber of the stored events, with a place of its own in them."""

    name: Annotated[
        str,
        Meta(
            description="Name of the outlet, by which its place is kept: another name begins anew.",
            pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$",
            min_length=1,
            max_length=32,
        ),
    ]
    webhook: Annotated[
        Webhook,
        Meta(description="Where its events are posted to.", extra_json_schema=rules(PROTECTED_WEBHOOK)),
    ]
    filter: Annotated[Filter, Meta(description="Which events it sends; all unless something is given.")] = Filter()
    start: Annotated[
        Literal["Now", "Beginning"],
        Meta(
            description="Where a new outlet begins: Now sends what is stored from then on, Beginning all that the "
            "store has."
        ),
    ] = "Now"
