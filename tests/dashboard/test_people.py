"""People sign in with the provider, are renewed by it, lose what they lose there, and sign out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
import redis
from tests.dashboard.tokens import OWNER, TOKENS
from tests.dashboard.visitor import ATTEMPT, SESSION, Visitor
from tests.servers.dashboard import OWN_PAGE, DashboardServer
from tests.servers.people_dashboard import people_dashboard
from tests.servers.scripted_provider import CLIENT_SECRET, HttpAnswer, ScriptedProvider, refusal
from tests.waiting import wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

RENEWED_WITHIN = timedelta(seconds=20)


@pytest.fixture(scope="module")
def dashboard(
    started_provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DashboardServer]:
    directory = tmp_path_factory.mktemp("people")
    with people_dashboard(directory, started_provider.issuer, secret=CLIENT_SECRET, tokens=TOKENS) as server:
        yield server


def test_a_person_signs_in_and_gets_the_role_of_a_group(provider: ScriptedProvider, visitor: Visitor) -> None:
    answer = visitor.sign_in(provider)

    assert answer.status == 200
    assert visitor.get("/").status == 200
    session = visitor.get("/api/session").json
    assert session["signedIn"]
    assert session["viewer"] == {"name": "ann@example.com", "tenants": None, "mayAct": True, "mayManage": False}


def test_the_provider_is_asked_with_pkce_state_and_nonce_for_the_exact_address(
    dashboard: DashboardServer, provider: ScriptedProvider, visitor: Visitor
) -> None:
    first, second = (parse_qs(urlsplit(visitor.leave()).query) for _ in range(2))

    assert first["redirect_uri"] == [f"{dashboard.url}/sign-in/callback"]
    assert first["scope"] == ["openid profile email offline_access"]
    assert first["kind"] == ["page"]
    assert first["code_challenge_method"] == ["S256"]
    for random in ("state", "nonce", "code_challenge"):
        assert len(first[random][0]) == 43
        assert first[random] != second[random]


def test_the_cookies_are_out_of_reach_for_scripts_and_other_sites(provider: ScriptedProvider, visitor: Visitor) -> None:
    visitor.leave()
    assert {"httponly", "samesite=lax", "path=/sign-in"} <= set(visitor.attributes[ATTEMPT].split("; "))

    visitor.get(provider.back(visitor.leave()))
    assert {"httponly", "samesite=strict", "path=/"} <= set(visitor.attributes[SESSION].split("; "))
    assert ATTEMPT not in visitor.cookies


def test_redis_holds_nothing_that_opens_a_session_or_renews_one(
    dashboard: DashboardServer, provider: ScriptedProvider, visitor: Visitor
) -> None:
    visitor.sign_in(provider)

    with redis.Redis.from_url(dashboard.settings.redis_url) as store:
        held = b"".join(store.get(key) or b"" for key in store.keys("*:session:*"))
    (refresh_token,) = list(provider._refresh_tokens)[-1:]
    assert visitor.cookies[SESSION].encode() not in held
    assert refresh_token.encode() not in held
    assert b"ann@example.com" in held


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (["watchers"], {"tenants": None, "mayAct": False, "mayManage": False}),
        (["watchers", "admins"], {"tenants": None, "mayAct": True, "mayManage": True}),
        (["contoso-team"], {"tenants": ["contoso"], "mayAct": True, "mayManage": False}),
        ("operators", {"tenants": None, "mayAct": True, "mayManage": False}),
        (["customers"], {"tenants": ["fabrikam"], "mayAct": False, "mayManage": False}),
    ],
)
def test_the_strongest_role_counts(
    provider: ScriptedProvider, visitor: Visitor, groups: object, expected: dict[str, object]
) -> None:
    provider.person |= {"groups": groups, "tenant": "fabrikam"}

    visitor.sign_in(provider)

    assert visitor.get("/api/session").json["viewer"] == {"name": "ann@example.com"} | expected


def test_what_the_id_token_lacks_is_asked_for(provider: ScriptedProvider, visitor: Visitor) -> None:
    provider.changed = {"groups": None}

    visitor.sign_in(provider)

    assert visitor.get("/api/session").json["viewer"]["mayAct"]


@pytest.mark.parametrize(
    ("asked", "shown"),
    [("/%23/events%3Fuser%3Dada", "/#/events?user=ada"), ("//evil.example", "/"), ("", "/")],
)
def test_the_person_comes_back_to_the_page_they_asked_for(
    provider: ScriptedProvider, visitor: Visitor, asked: str, shown: str
) -> None:
    answer = visitor.get(provider.back(visitor.leave(f"?to={asked}")))

    assert f'content="0; url={shown}"' in answer.body.decode()


def test_the_session_gets_a_new_name_at_each_sign_in(provider: ScriptedProvider, visitor: Visitor) -> None:
    visitor.cookies[SESSION] = "chosen-by-somebody-else"
    visitor.sign_in(provider)
    first = visitor.cookies[SESSION]
    assert first != "chosen-by-somebody-else"

    visitor.sign_in(provider)

    assert visitor.cookies[SESSION] != first
    assert not Visitor(visitor.url, {SESSION: first}).is_signed_in()


def test_signing_out_ends_the_session_and_leads_to_the_provider_s(
    dashboard: DashboardServer, provider: ScriptedProvider, visitor: Visitor
) -> None:
    visitor.sign_in(provider)
    kept = Visitor(visitor.url, dict(visitor.cookies))

    target = urlsplit(visitor.sign_out().json["continueAt"])

    assert f"{target.scheme}://{target.netloc}{target.path}" == f"{provider.issuer}/end"
    query = parse_qs(target.query)
    assert query["post_logout_redirect_uri"] == [f"{dashboard.url}/sign-in"]
    assert query["client_id"] == ["dashboard"]
    assert query["id_token_hint"][0].count(".") == 2
    assert not kept.is_signed_in()
    assert SESSION not in visitor.cookies


def test_tokens_work_beside_people(dashboard: DashboardServer, provider: ScriptedProvider, visitor: Visitor) -> None:
    assert visitor.get("/api/sign-in").json == {"provider": "127.0.0.1", "tokens": True}
    assert visitor.get("/api/session").status == 401
    assert visitor.send("POST", "/api/session", {"token": OWNER}, OWN_PAGE).status == 200
    assert visitor.get("/api/session").json["viewer"]["name"] == "owner"
    assert visitor.sign_out().status == 204
    assert not visitor.is_signed_in()


def test_a_person_s_role_is_read_again_at_each_renewal(provider: ScriptedProvider, visitor: Visitor) -> None:
    provider.expires_in = 1
    visitor.sign_in(provider)
    provider.person["groups"] = ["watchers"]

    def is_viewer() -> bool:
        return not visitor.get("/api/session").json["viewer"]["mayAct"]

    wait_until_sync(is_viewer, within=RENEWED_WITHIN)


def test_who_lost_the_group_is_signed_out(provider: ScriptedProvider, visitor: Visitor) -> None:
    provider.expires_in = 1
    visitor.sign_in(provider)
    assert visitor.is_signed_in()
    provider.person["groups"] = ["others"]

    wait_until_sync(lambda: not visitor.is_signed_in(), within=RENEWED_WITHIN)
    provider.person["groups"] = ["operators"]
    assert not visitor.is_signed_in()


def test_a_provider_that_gives_no_id_token_at_renewal_is_asked_about_the_person(
    provider: ScriptedProvider, visitor: Visitor
) -> None:
    provider.expires_in, provider.tells_at_renewal = 1, False
    visitor.sign_in(provider)
    wait_until_sync(lambda: visitor.is_signed_in() and provider.renewals() > 0, within=RENEWED_WITHIN)
    provider.person["groups"] = []

    wait_until_sync(lambda: not visitor.is_signed_in(), within=RENEWED_WITHIN)


def test_tabs_that_renew_at_once_ask_the_provider_once(provider: ScriptedProvider, visitor: Visitor) -> None:
    provider.expires_in = 1
    visitor.sign_in(provider)
    provider.expires_in = 300
    answers: list[int] = []

    def tabs_have_renewed() -> bool:
        with ThreadPoolExecutor(8) as tabs:
            answers.extend(tabs.map(lambda _: visitor.get("/api/session").status, range(16)))
        return provider.renewals() > 0

    wait_until_sync(tabs_have_renewed, within=RENEWED_WITHIN)
    tabs_have_renewed()

    assert set(answers) == {200}
    assert provider.renewals() == 1


def test_a_refused_renewal_ends_the_session(provider: ScriptedProvider, visitor: Visitor) -> None:
    provider.expires_in = 1
    visitor.sign_in(provider)
    provider.fault = refusal("invalid_grant", "revoked")

    wait_until_sync(lambda: visitor.get("/api/session").status == 401, within=RENEWED_WITHIN)
    provider.fault = None
    assert not visitor.is_signed_in()


@pytest.mark.parametrize("fault", [refusal("server_error", status=500), refusal("invalid_client", status=401)])
def test_a_provider_with_a_fault_ends_no_session(
    provider: ScriptedProvider, visitor: Visitor, fault: HttpAnswer
) -> None:
    provider.expires_in = 1
    visitor.sign_in(provider)
    provider.fault = fault

    wait_until_sync(lambda: visitor.get("/api/session").status == 503, within=RENEWED_WITHIN)
    assert visitor.get("/").status == 200
    provider.fault = None
    assert visitor.is_signed_in()
