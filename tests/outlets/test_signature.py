"""Signatures of Standard Webhooks, held to the example that the specification's own libraries are tested with."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from cloudscale.errors import ConfigurationError
from cloudscale.outlets.given_secrets import read_secrets
from cloudscale.outlets.signature import parse_secrets, signed_headers
from cloudscale.pipeline.fields import SecretKey
from cloudscale.pipeline.outlets import Outlet, Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def test_a_signature_is_that_of_the_reference_implementation() -> None:
    headers = signed_headers(
        parse_secrets(SECRET),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        at=datetime.fromtimestamp(1614265330, UTC),
        body=b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_two_secrets_make_two_signatures() -> None:
    headers = signed_headers(parse_secrets(f"{SECRET}\n{OTHER}\n"), "m", at=datetime.now(UTC), body=b"")
    assert len(set(headers["webhook-signature"].split(" "))) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "holds 0 secrets"),
        (" ".join(5 * [SECRET]), "holds 5 secrets"),
        ("secret", "does not begin with whsec_"),
        ("whsec_not base64!", "is not base64"),
        ("whsec_c2hvcnQ=", "has 5 bytes"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "has 65 bytes"),
    ],
)
def test_what_is_no_secret_is_refused_without_being_repeated(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        parse_secrets(text)
    assert "c2hvcnQ" not in str(caught.value)


def test_every_outlet_without_a_usable_secret_is_named() -> None:
    outlets = [
        Outlet(name=name, webhook=Webhook(url="https://a.example/", secret_ref=SecretKey(name="s", key="k")))
        for name in ("crm", "data-lake", "lake")
    ]
    given = {"CLOUDSCALE_OUTLET_SECRET_CRM": "?", "CLOUDSCALE_OUTLET_SECRET_LAKE": SECRET}
    with pytest.raises(ConfigurationError) as caught:
        read_secrets(outlets, given)
    first, second = str(caught.value).splitlines()
    assert first.startswith("the secret of outlet crm in CLOUDSCALE_OUTLET_SECRET_CRM cannot be used")
    assert second.startswith("outlet data-lake has no secret to sign with: set CLOUDSCALE_OUTLET_SECRET_DATA_LAKE")
    assert list(read_secrets(outlets[2:], given)) == ["lake"]
