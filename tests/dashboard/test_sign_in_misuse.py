"""What must not open a session: answers and tokens with one thing wrong, replays, and cookies that are nobody's."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import redis
from joserfc import jwt
from joserfc.jwk import RSAKey
from tests.dashboard.visitor import ATTEMPT, SESSION, Visitor
from tests.servers.people_dashboard import people_dashboard
from tests.servers.scripted_provider import (
    CLIENT_SECRET,
    HttpAnswer,
    ScriptedProvider,
    answer_json,
    refusal,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers.answer import Answer
    from tests.servers.dashboard import DashboardServer

MARKUP = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def dashboard(
    started_provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DashboardServer]:
    with people_dashboard(tmp_path_factory.mktemp("people"), started_provider.issuer, secret=CLIENT_SECRET) as server:
        yield server


def part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def unsigned(claims: dict[str, Any]) -> str:
    return f"{part({'alg': 'none'})}.{part(claims)}."


def signed_with_the_public_key(provider: ScriptedProvider, claims: dict[str, Any]) -> str:
    text = f"{part({'alg': 'HS256', 'kid': 'one'})}.{part(claims)}"
    digest = hmac.digest(provider.key.as_pem(private=False), text.encode(), hashlib.sha256)
    return f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def signed_by_another(claims: dict[str, Any], **header: object) -> str:
    return jwt.encode({"alg": "RS256", "kid": "one"} | header, claims, RSAKey.generate_key(2048))


def signed_with_its_own_key(claims: dict[str, Any]) -> str:
    key = RSAKey.generate_key(2048)
    return jwt.encode({"alg": "RS256", "jwk": key.as_dict(private=False)}, claims, key)


@dataclass(frozen=True)
class Misuse:
    """One thing that is wrong, and how the dashboard must answer."""

    name: str
    status: int
    says: str
    claims: dict[str, Any] | None = None
    """Of the ID token."""
    sign: Callable[[ScriptedProvider, dict[str, Any]], str] | None = None
    answer: Callable[[dict[str, Any]], HttpAnswer] | None = None
    """The token endpoint's."""
    fault: HttpAnswer | None = None
    userinfo: dict[str, Any] | None = None
    parameters: dict[str, str | None] | None = None
    """Of the answer that the browser brings back."""


def later(seconds: int) -> int:
    return int(time.time()) + seconds


MISUSES = [
    # The answer that the browser brings back
    Misuse("state missing", 400, "another sign-in", parameters={"state": None}),
    Misuse("state empty", 400, "another sign-in", parameters={"state": ""}),
    Misuse("state of another sign-in", 400, "another sign-in", parameters={"state": "x" * 43}),
    Misuse("state beyond ASCII", 400, "another sign-in", parameters={"state": "é" * 22}),
    Misuse("code missing", 400, "no code", parameters={"code": None}),
    Misuse("code too long", 400, "no code", parameters={"code": "x" * 5000}),
    Misuse("code of somebody's making", 403, "this code does not hold", parameters={"code": "invented"}),
    Misuse("another issuer", 400, "another provider", parameters={"iss": "https://evil.example"}),
    Misuse("the issuer with a slash", 400, "another provider", parameters={"iss": "PROVIDER/"}),
    Misuse("an issuer that is missing although it is promised", 400, "another provider", parameters={"iss": None}),
    Misuse("an error", 403, "cancelled", parameters={"error": "access_denied", "code": None}),
    Misuse("an error beside a code", 403, "cancelled", parameters={"error": "access_denied"}),
    Misuse("an error with markup", 403, "&lt;script&gt;", parameters={"error": MARKUP}),
    Misuse(
        "a description with markup",
        403,
        "It says: &lt;script&gt;",
        parameters={"error": "access_denied", "error_description": MARKUP},
    ),
    Misuse("a very long description", 403, "It says: xxx", parameters={"error": "x", "error_description": "x" * 9000}),
    # The ID token
    Misuse("no ID token", 403, "no ID token", answer=lambda right: answer_json(right | {"id_token": ""})),
    Misuse("an ID token that is none", 403, "none", answer=lambda right: answer_json(right | {"id_token": "a.b"})),
    Misuse("nonce of another sign-in", 403, "another sign-in", claims={"nonce": "other"}),
    Misuse("nonce missing", 403, "another sign-in", claims={"nonce": None}),
    Misuse("nonce that is no text", 403, "another sign-in", claims={"nonce": ["a"]}),
    Misuse("another audience", 403, "audience", claims={"aud": "somebody-else"}),
    Misuse("no audience", 403, "audience", claims={"aud": None}),
    Misuse("another party", 403, "another client", claims={"azp": "somebody-else"}),
    Misuse("several audiences and no party", 403, "another client", claims={"aud": ["dashboard", "other"]}),
    Misuse("another issuer's token", 403, "issuer", claims={"iss": "https://evil.example"}),
    Misuse("an issuer with a slash", 403, "issuer", claims={"iss": "PROVIDER/"}),
    Misuse("expired", 403, "expired", claims={"exp": later(-3600)}),
    Misuse("without an end", 403, "never ends", claims={"exp": None}),
    Misuse("not yet", 403, "not hold yet", claims={"nbf": later(3600)}),
    Misuse("made in the future", 403, "not hold yet", claims={"iat": later(3600)}),
    Misuse("about nobody", 403, "sub", claims={"sub": None}),
    Misuse("alg none", 403, "cannot be taken", sign=lambda _, claims: unsigned(claims)),
    Misuse("HS256 with the public key", 403, "alg", sign=signed_with_the_public_key),
    Misuse("another's signature", 403, "signature", sign=lambda _, claims: signed_by_another(claims)),
    Misuse("an unknown key", 403, "key", sign=lambda _, claims: signed_by_another(claims, kid="two")),
    Misuse("a key that it brings", 403, "signature", sign=lambda _, claims: signed_with_its_own_key(claims)),
    Misuse(
        "changed after it was signed",
        403,
        "signature",
        sign=lambda provider, claims: ".".join(
            [
                *(provider.signed(claims).split(".")[0], part(claims | {"groups": ["admins"]})),
                provider.signed(claims).split(".")[2],
            ]
        ),
    ),
    # Who it is
    Misuse("no group that counts", 403, "nothing there gives you a role", claims={"groups": ["others"]}),
    Misuse("groups that are no texts", 403, "nothing there gives you a role", claims={"groups": [1, {"operators": 1}]}),
    Misuse("a customer of no tenant", 403, "nothing there gives you a role", claims={"groups": ["customers"]}),
    Misuse(
        "UserInfo about somebody else",
        403,
        "another person",
        claims={"groups": None},
        userinfo={"sub": "bob", "groups": ["admins"]},
    ),
    # The token endpoint
    Misuse("a refusal with markup", 403, "&lt;script&gt;", fault=refusal("invalid_grant", MARKUP)),
    Misuse("a client that is not known", 503, "does not accept this dashboard", fault=refusal("invalid_client")),
    Misuse("a fault", 503, "answered 500", fault=HttpAnswer(500)),
    Misuse("too many requests", 503, "answered 429", fault=HttpAnswer(429)),
    Misuse("a redirection", 503, "answered 302", fault=HttpAnswer(302, headers={"location": "https://evil.example/"})),
    Misuse("an answer without end", 503, "more than", fault=HttpAnswer(200, b"x" * 1_000_000)),
    Misuse("an answer that is no JSON", 503, "cannot be read", fault=HttpAnswer(200, b"<html>")),
    Misuse("an answer nested too deep", 503, "cannot be read", fault=HttpAnswer(200, b'{"a":' + b"[" * 9000)),
    Misuse(
        "a compressed answer", 503, "cannot be read", fault=HttpAnswer(200, b"\x1f\x8b", {"content-encoding": "gzip"})
    ),
    Misuse("a token that is no text", 503, "cannot be read", answer=lambda right: answer_json(right | {"id_token": 1})),
    Misuse(
        "a token too long",
        503,
        "a token of more than",
        answer=lambda right: answer_json(right | {"id_token": "a" * 70_000}),
    ),
]


@pytest.mark.parametrize("misuse", MISUSES, ids=lambda misuse: misuse.name)
def test_what_is_wrong_opens_no_session(provider: ScriptedProvider, visitor: Visitor, misuse: Misuse) -> None:
    provider.changed = {name: of_provider(provider, value) for name, value in (misuse.claims or {}).items()}
    if (sign := misuse.sign) is not None:
        provider.sign = lambda claims: sign(provider, claims)
    provider.change_answer, provider.fault, provider.userinfo = misuse.answer, misuse.fault, misuse.userinfo
    parameters = {name: of_provider(provider, value) for name, value in (misuse.parameters or {}).items()}

    answer = visitor.get(provider.back(visitor.leave(), **parameters))

    assert (answer.status, visitor.cookies.get(SESSION)) == (misuse.status, None), answer.body
    assert misuse.says in answer.body.decode()
    assert is_plain(answer)
    assert not visitor.is_signed_in()


def of_provider(provider: ScriptedProvider, value: Any) -> Any:
    return value.replace("PROVIDER", provider.issuer) if isinstance(value, str) else value


def is_plain(answer: Answer) -> bool:
    text = answer.body.decode()
    return MARKUP not in text and len(text) < 3000 and answer.headers["content-type"].startswith("text/html")


def test_an_answer_counts_in_no_other_browser(provider: ScriptedProvider, visitor: Visitor) -> None:
    back = provider.back(visitor.leave())
    victim = Visitor(visitor.url)

    assert victim.get(back).status == 400
    victim.leave()
    assert victim.get(back).status == 400
    assert SESSION not in victim.cookies


def test_an_answer_opens_one_session_only(provider: ScriptedProvider, visitor: Visitor) -> None:
    back = provider.back(visitor.leave())
    kept = Visitor(visitor.url, dict(visitor.cookies))
    assert visitor.get(back).status == 200
    provider.requests.clear()

    answer = kept.get(back)

    assert (answer.status, kept.cookies.get(SESSION)) == (400, None)
    assert "used already" in answer.body.decode()
    assert not provider.requests
    assert visitor.is_signed_in()


def test_a_code_of_another_sign_in_is_refused_for_its_verifier(provider: ScriptedProvider, visitor: Visitor) -> None:
    stolen = provider.back(visitor.leave()).split("code=")[1].split("&")[0]
    thief = Visitor(visitor.url)

    answer = thief.get(provider.back(thief.leave(), code=stolen))

    assert (answer.status, thief.cookies.get(SESSION)) == (403, None)


def test_a_wrong_answer_does_not_end_what_the_browser_has_begun(provider: ScriptedProvider, visitor: Visitor) -> None:
    address = visitor.leave()
    assert visitor.get(provider.back(address, state="another")).status == 400

    assert visitor.get(provider.back(address)).status == 200


@pytest.mark.parametrize("parameter", ["code", "state", "iss", "error"])
def test_a_parameter_that_is_there_twice_is_refused(
    provider: ScriptedProvider, visitor: Visitor, parameter: str
) -> None:
    back = provider.back(visitor.leave(), error="" if parameter == "error" else None)

    answer = visitor.get(f"{back}&{parameter}=other")

    assert (answer.status, visitor.cookies.get(SESSION)) == (400, None)
    assert "twice" in answer.body.decode()


@pytest.mark.parametrize("change", [lambda _: "", lambda _: "x" * 50, lambda text: text[:-6] + "AAAAAA", lambda _: "é"])
def test_an_attempt_of_somebody_s_making_is_none(
    provider: ScriptedProvider, visitor: Visitor, change: Callable[[str], str]
) -> None:
    address = visitor.leave()
    visitor.cookies[ATTEMPT] = change(visitor.cookies[ATTEMPT]).encode().decode("latin-1")

    answer = visitor.get(provider.back(address))

    assert (answer.status, visitor.cookies.get(SESSION)) == (400, None)


def test_an_attempt_is_no_session(visitor: Visitor) -> None:
    visitor.leave()
    visitor.cookies[SESSION] = visitor.cookies[ATTEMPT]

    assert not visitor.is_signed_in()


@pytest.mark.parametrize(
    "address",
    [
        *("//evil.example", "https://evil.example", "/\\evil.example", "/%09/evil.example", "javascript:alert(1)"),
        *('/#/" onload=alert(1)', "/#/" + "x" * 2000, "/sign-out", "/#", "/#x", "#/events", "\n/#/events"),
    ],
)
def test_nobody_is_led_elsewhere_after_signing_in(provider: ScriptedProvider, visitor: Visitor, address: str) -> None:
    answer = visitor.get(provider.back(visitor.leave(f"?to={quote(address, safe='')}")))

    assert answer.status == 200
    assert 'content="0; url=/"' in answer.body.decode()


def test_a_page_s_address_cannot_break_out_of_the_page(provider: ScriptedProvider, visitor: Visitor) -> None:
    answer = visitor.get(provider.back(visitor.leave("?to=/%23/%22%3E%3Cscript%3E")))

    assert "url=/#/&quot;&gt;&lt;script&gt;" in answer.body.decode()
    assert is_plain(answer)


def test_many_who_only_begin_leave_nothing_in_redis(dashboard: DashboardServer, provider: ScriptedProvider) -> None:
    with redis.Redis.from_url(dashboard.settings.redis_url) as store:
        before = len(store.keys("*:dashboard:sign-in:*"))
        for _ in range(20):
            visitor = Visitor(dashboard.url)
            visitor.get(provider.back(visitor.leave(), code="invented"))
        assert len(store.keys("*:dashboard:sign-in:*")) == before
