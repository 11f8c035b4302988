"""The dashboard's API on a running pipeline."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import aiohttp
import msgspec
import pytest
from tests.browser.traffic import USED_BY_BOTH, event, poison, post
from tests.dashboard.tokens import CONTOSO, OWNER, READER
from tests.servers.dashboard import OWN_PAGE, DashboardServer, dashboard_server
from tests.waiting import wait_until_sync

from cloudscale.settings import as_environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.pipeline import RunningPipeline

WITHIN = timedelta(seconds=60)
PAGES = ["history", "verification", "security", "users", "events", "dead-letters"]


@pytest.mark.parametrize("page", [*PAGES, "pipeline", "stream"])
def test_reading_needs_a_token_where_tokens_are_configured(dashboard: DashboardServer, page: str) -> None:
    assert dashboard.call(f"/api/{page}").status == 401
    assert dashboard.call(f"/api/{page}", token="wrong-0123456789abcdef").status == 401


@pytest.mark.parametrize("page", PAGES)
def test_reading_is_open_where_none_are(open_dashboard: DashboardServer, page: str) -> None:
    assert open_dashboard.call(f"/api/{page}").status in (200, 202)


@pytest.mark.parametrize("act", ["replay", "discard"])
def test_acting_is_refused_where_no_tokens_are_configured(open_dashboard: DashboardServer, act: str) -> None:
    answer = open_dashboard.call(f"/api/dead-letters/{act}", method="POST", content={"all": True}, headers=OWN_PAGE)

    assert answer.status == 403


@pytest.mark.parametrize("path", ["/", "/sign-in", "/api/history", "/static/app.js", "/health", "/nothing"])
def test_every_answer_forbids_foreign_scripts_and_frames(dashboard: DashboardServer, path: str) -> None:
    headers = dashboard.call(path).headers

    assert "script-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe-inline" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_signing_in_gives_a_session_that_scripts_and_other_sites_cannot_use(dashboard: DashboardServer) -> None:
    answer = dashboard.call("/api/session", method="POST", content={"token": READER}, headers=OWN_PAGE)

    assert answer.status == 200
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert READER not in cookie
    session = {"Cookie": cookie.split(";")[0]}
    assert dashboard.call("/api/session", headers=session).json["viewer"]["name"] == "reader"
    assert dashboard.call("/", headers=session).status == 200


def test_a_session_ends_at_signing_out_also_for_who_has_kept_its_cookie(dashboard: DashboardServer) -> None:
    def signed_in() -> dict[str, str]:
        answer = dashboard.call("/api/session", method="POST", content={"token": READER}, headers=OWN_PAGE)
        return {"Cookie": answer.headers["set-cookie"].split(";")[0]}

    one, another = signed_in(), signed_in()
    assert one != another
    assert dashboard.call("/api/session", method="DELETE", headers={**OWN_PAGE, **one}).status == 204

    assert dashboard.call("/api/session", headers=one).status == 401
    assert dashboard.call("/api/session", headers=another).json["viewer"]["name"] == "reader"


@pytest.mark.parametrize("cookie", ["", ".", "a.b.c", "zz.9999999999.x", "\x80\xff", "e" * 5000, "%00", "a;b=c"])
def test_a_cookie_that_is_no_session_is_nobody_s(dashboard: DashboardServer, cookie: str) -> None:
    for path in ("/api/session", "/api/history", "/api/dead-letters", "/"):
        answer = dashboard.call(path, headers={"Cookie": f"cloudscale-session={cookie}"})
        assert answer.status in (200 if path == "/" else 401, 400, 401, 431)


def test_what_was_in_an_old_cookie_forges_no_session(dashboard: DashboardServer) -> None:
    digest = hashlib.sha256(READER.encode()).digest()
    key = hashlib.blake2b(digest, person=b"cloudscale-sess").digest()
    content = f"{digest.hex()}.4102444800"
    forged = f"{content}.{hmac.new(key, content.encode(), hashlib.sha256).hexdigest()}"
    assert dashboard.call("/api/session", headers={"Cookie": f"cloudscale-session={forged}"}).status == 401


def test_a_wrong_token_opens_no_session(dashboard: DashboardServer) -> None:
    answer = dashboard.call("/api/session", method="POST", content={"token": "nobody's"}, headers=OWN_PAGE)

    assert answer.status == 401
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("headers", [{}, {"X-Requested-With": "other"}, {**OWN_PAGE, "Origin": "https://evil.example"}])
def test_a_request_from_another_site_changes_nothing(dashboard: DashboardServer, headers: dict[str, str]) -> None:
    act = dashboard.call(
        "/api/dead-letters/discard", token=OWNER, method="POST", content={"all": True}, headers=headers
    )
    session = dashboard.call("/api/session", method="POST", content={"token": OWNER}, headers=headers)

    assert act.status == 403
    assert session.status == 403


def test_without_a_session_the_start_page_leads_to_signing_in(dashboard: DashboardServer) -> None:
    page = dashboard.call("/")

    assert b"Sign in" in page.body


def test_the_overview_shows_traffic_within_seconds(dashboard: DashboardServer, running: RunningPipeline) -> None:
    def accepted() -> float:
        event = {"eventType": "page_view", "tenantId": "contoso", "url": "https://contoso.example/"}
        request = Request(  # noqa: S310 - our own
            f"{running.url}/api/events", data=json.dumps(event).encode(), headers={"Content-Type": "application/json"}
        )
        with urlopen(request, timeout=30) as response:  # noqa: S310 - our own
            assert response.status == 202
        rate: float = dashboard.call("/api/history", token=OWNER).json["now"]["point"].get("accepted", 0)
        return rate

    wait_until_sync(lambda: accepted() > 0, within=timedelta(seconds=15))


def test_the_stream_sends_a_complete_state_every_second(dashboard: DashboardServer) -> None:
    request = Request(f"{dashboard.url}/api/stream", headers={"Authorization": f"Bearer {OWNER}"})  # noqa: S310
    times = []
    with urlopen(request, timeout=30) as response:  # noqa: S310 - our own
        for line in response:
            if line.startswith(b"data: "):
                message = json.loads(line.removeprefix(b"data: "))
                assert {"point", "kept", "serviceLevels"} <= set(message)
                times.append(message["point"]["at"])
            if len(times) == 4:
                break

    assert times == sorted(times)
    assert times[-1] - times[1] < 10


def test_the_series_survive_a_restart(dashboard: DashboardServer, running: RunningPipeline, tmp_path: Path) -> None:
    wait_until_sync(lambda: len(history_of(dashboard)) > 3, within=WITHIN)
    oldest = history_of(dashboard)[0]

    with dashboard_server(tmp_path, running.instance.settings) as restarted:
        wait_until_sync(lambda: bool(history_of(restarted)), within=WITHIN)
        assert history_of(restarted)[0] == oldest


@pytest.mark.parametrize(("span", "status"), [("day", 200), ("week", 200), ("year", 400)])
def test_longer_series_are_there_for_a_day_and_a_week(dashboard: DashboardServer, span: str, status: int) -> None:
    answer = dashboard.call(f"/api/history?span={span}", token=OWNER)

    assert answer.status == status
    if status == 200:
        assert {"at", "accepted", "started"} <= set(answer.json["series"])


def history_of(dashboard: DashboardServer) -> list[float]:
    times: list[float] = dashboard.call("/api/history", token=OWNER).json["series"]["at"]
    return times


def test_the_balance_is_zero_when_the_pipeline_is_at_rest(dashboard: DashboardServer) -> None:
    dashboard.call("/api/verification", token=OWNER, method="POST", content={}, headers=OWN_PAGE)

    def proven() -> bool:
        return bool(dashboard.call("/api/verification", token=OWNER).json.get("proven"))

    wait_until_sync(proven, within=WITHIN)
    balance = dashboard.call("/api/verification", token=OWNER).json
    assert balance["lost"] == 0
    # What came in three seconds, which depends on the machine.
    assert balance["totals"]["accepted"] > 100
    assert balance["totals"]["difference"] == 0
    assert all(hour["difference"] == 0 for hour in balance["hours"])


def test_events_are_found_by_their_ids(dashboard: DashboardServer) -> None:
    newest = dashboard.call("/api/events", token=OWNER).json["events"]
    assert newest == sorted(newest, key=lambda event: event["receivedAt"], reverse=True)

    for field, name in (("id", "eventId"), ("correlationId", "correlationId")):
        found = dashboard.call(f"/api/events?{field}={newest[0][name]}", token=OWNER).json["events"]
        assert newest[0]["eventId"] in [event["eventId"] for event in found]
    whole = dashboard.call(f"/api/events/{newest[0]['eventId']}", token=OWNER).json["event"]
    assert whole["processedAt"] >= whole["receivedAt"]
    assert not any(name.startswith("_") for name in whole)


def test_events_are_turned_page_by_page_and_none_comes_twice(dashboard: DashboardServer) -> None:
    seen: list[str] = []
    after = ""
    for _ in range(3):
        page = dashboard.call(f"/api/events?after={quote(after)}", token=OWNER).json
        seen += [event["eventId"] for event in page["events"]]
        after = page["next"]

    assert len(seen) == len(set(seen)) == 300


def test_the_last_page_of_events_names_no_next(dashboard: DashboardServer) -> None:
    newest = dashboard.call("/api/events", token=OWNER).json["events"][0]["eventId"]

    assert dashboard.call(f"/api/events?id={newest}", token=OWNER).json["next"] is None


@pytest.mark.parametrize("after", ["x", "12", ":a", "-1:a", "1e3:a", "9" * 5000 + ":a"])
def test_a_position_that_is_none_is_refused(dashboard: DashboardServer, after: str) -> None:
    assert dashboard.call(f"/api/events?after={after}", token=OWNER).status == 400


def test_suspicious_events_are_found_alone(dashboard: DashboardServer) -> None:
    found = dashboard.call("/api/events?suspicious=true", token=OWNER).json["events"]

    assert found
    assert all(event["suspicious"] for event in found)


def test_security_is_shown_of_one_user(dashboard: DashboardServer) -> None:
    suspicious = dashboard.call("/api/security", token=OWNER).json["suspicious"]
    # Events of anonymous visitors may be among them.
    user, tenant = next((event["userId"], event["tenantId"]) for event in suspicious if "userId" in event)

    shown = dashboard.call(f"/api/security?user={user}&tenant={tenant}", token=OWNER).json

    assert {(event["userId"], event["tenantId"]) for event in shown["suspicious"]} == {(user, tenant)}
    assert {alert["userId"] for alert in shown["alerts"]} <= {user}
    assert dashboard.call("/api/security?tenant=fabrikam", token=CONTOSO).status == 403


def test_an_event_that_is_not_stored_is_not_found(dashboard: DashboardServer) -> None:
    answer = dashboard.call("/api/events/never-sent", token=OWNER)

    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_event_whose_id_two_tenants_use_opens_by_tenant(
    dashboard: DashboardServer, running: RunningPipeline
) -> None:
    async def send_both() -> None:
        async with aiohttp.ClientSession() as session:
            for tenant in ("contoso", "fabrikam"):
                content = event(tenant) | {"eventId": USED_BY_BOTH}
                assert await post(session, running.url, content) == 202

    asyncio.run(send_both())
    both = f"/api/events?id={USED_BY_BOTH}"
    wait_until_sync(lambda: len(dashboard.call(both, token=OWNER).json["events"]) == 2, within=WITHIN)

    for tenant in ("contoso", "fabrikam"):
        answer = dashboard.call(f"/api/events/{USED_BY_BOTH}?tenant={tenant}", token=OWNER)
        assert answer.json["event"]["tenantId"] == tenant
    ambiguous = dashboard.call(f"/api/events/{USED_BY_BOTH}", token=OWNER)
    assert ambiguous.status == 409
    assert "contoso, fabrikam" in ambiguous.json["detail"]
    assert dashboard.call(f"/api/events/{USED_BY_BOTH}", token=CONTOSO).json["event"]["tenantId"] == "contoso"
    assert dashboard.call(f"/api/events/{USED_BY_BOTH}?tenant=fabrikam", token=CONTOSO).status == 403


def test_users_are_ordered_by_score(dashboard: DashboardServer) -> None:
    def scores() -> list[int]:
        return [user["score"] for user in dashboard.call("/api/users", token=OWNER).json["users"]]

    wait_until_sync(lambda: bool(scores()), within=WITHIN)
    # In one answer: scores grow while the feed is read.
    found = scores()
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("tenant", ["&tenant={tenantId}", ""], ids=["in one tenant", "in all"])
def test_a_user_is_found_by_id(dashboard: DashboardServer, tenant: str) -> None:
    [*_, last] = dashboard.call("/api/users", token=OWNER).json["users"]

    found = dashboard.call(f"/api/users?user={last['userId']}" + tenant.format(**last), token=OWNER).json

    assert {user["userId"] for user in found["users"]} == {last["userId"]}
    assert found["count"] == len(found["users"])


def test_users_are_counted_as_far_as_they_match(dashboard: DashboardServer) -> None:
    def count(query: str = "", token: str = OWNER) -> int:
        found = dashboard.call(f"/api/users{query}", token=token).json["count"]
        assert isinstance(found, int)
        return found

    assert count("?user=nobody-at-all") == count("?user=nobody-at-all&tenant=contoso") == 0
    assert 0 < count("?tenant=contoso") < count()
    assert 0 < count(token=CONTOSO) < count()


def test_a_sign_in_that_is_no_json_is_refused(dashboard: DashboardServer) -> None:
    answer = dashboard.call("/api/session", method="POST", content=b"{", headers=OWN_PAGE)

    assert answer.status == 400


def test_suspicious_events_come_with_their_evidence(dashboard: DashboardServer) -> None:
    page = dashboard.call("/api/security", token=OWNER).json

    assert page["suspicious"][0]["fraud"]["rule"] == "velocity"
    assert page["alerts"][0]["kind"] == "velocity"
    assert page["clients"][0]["clientAddress"] == "127.0.0.1"


def test_the_pipeline_page_shows_the_resource_and_its_processes(dashboard: DashboardServer) -> None:
    page = dashboard.call("/api/pipeline", token=OWNER).json

    assert page["resource"]["kind"] == "EventPipeline"
    assert {process["role"] for process in page["processes"]} == {"ingestion", "worker"}
    assert page["kubernetes"] is None


def test_a_tenant_s_viewer_sees_that_tenant_only(dashboard: DashboardServer, poisoned: list[int]) -> None:
    assert poisoned
    wait_until_sync(lambda: dashboard.call("/api/verification", token=CONTOSO).status == 200, within=WITHIN)
    for path, rows in (
        ("events", "events"),
        ("users", "users"),
        ("security", "alerts"),
        ("security", "suspicious"),
        ("verification", "hours"),
        ("dead-letters", "deadLetters"),
    ):
        shown = dashboard.call(f"/api/{path}", token=CONTOSO).json[rows]
        assert {row["tenantId"] for row in shown} == {"contoso"}, path
    history = dashboard.call("/api/history", token=CONTOSO).json
    assert set(history["series"]["byTenant"]) <= {"contoso"}
    assert not history["series"]["byType"]
    assert set(history["series"]["queueDepth"]) <= {None}


def test_a_tenant_s_viewer_cannot_look_at_what_belongs_to_all_or_to_others(
    dashboard: DashboardServer, poisoned: list[int]
) -> None:
    found = dashboard.call("/api/events?tenant=fabrikam", token=OWNER).json["events"]
    # An id that both tenants use is the viewer's own as well.
    others = [event for event in found if event["eventId"] != USED_BY_BOTH]
    letters = dashboard.call("/api/dead-letters", token=OWNER).json["deadLetters"]
    number = next(letter["sequenceNumber"] for letter in letters if letter["tenantId"] == "fabrikam")

    assert number in poisoned
    assert dashboard.call("/api/pipeline", token=CONTOSO).status == 403
    assert dashboard.call("/api/events?tenant=fabrikam", token=CONTOSO).status == 403
    assert dashboard.call(f"/api/events/{others[0]['eventId']}", token=CONTOSO).status == 404
    assert dashboard.call(f"/api/dead-letters/{number}", token=CONTOSO).status == 404
    refused = act(dashboard, "discard", {"sequenceNumbers": [number]}, token=CONTOSO)
    assert refused == 403


def act(dashboard: DashboardServer, name: str, content: object, *, token: str = OWNER) -> int:
    """The status of acting on dead letters."""
    path = f"/api/dead-letters/{name}"
    return dashboard.call(path, token=token, method="POST", content=content, headers=OWN_PAGE).status


def test_dead_letters_are_shown_and_discarded_by_their_reason(
    running: RunningPipeline, dashboard: DashboardServer, poisoned: list[int]
) -> None:
    def with_reason(reason: str) -> list[dict[str, Any]]:
        letters: list[dict[str, Any]] = dashboard.call(f"/api/dead-letters?reason={reason}", token=OWNER).json[
            "deadLetters"
        ]
        return letters

    asyncio.run(poison(running, tenants=("contoso",), event_type=None))
    wait_until_sync(lambda: len(with_reason("MissingEventType")) == 1, within=timedelta(seconds=30))
    counted = dashboard.call("/api/dead-letters", token=OWNER).json["reasons"]
    assert {"reason": "MissingEventType", "count": 1} in counted
    assert {letter["reason"] for letter in with_reason("UnknownEventType")} == {"UnknownEventType"}

    assert act(dashboard, "discard", {"reason": "MissingEventType"}) == 200

    assert with_reason("MissingEventType") == []
    assert set(poisoned) <= set(letters_of(dashboard))


def letters_of(dashboard: DashboardServer) -> dict[int, str]:
    letters = dashboard.call("/api/dead-letters", token=OWNER).json["deadLetters"]
    return {letter["sequenceNumber"]: letter["tenantId"] for letter in letters}


def test_a_dead_letter_is_shown_with_its_message(dashboard: DashboardServer, poisoned: list[int]) -> None:
    letter = dashboard.call(f"/api/dead-letters/{poisoned[0]}", token=READER).json["deadLetter"]

    assert letter["reason"] == "UnknownEventType"
    assert letter["body"][0]["eventType"] == "unheard_of"


def test_a_reader_may_not_act(dashboard: DashboardServer, poisoned: list[int]) -> None:
    assert act(dashboard, "discard", {"sequenceNumbers": poisoned}, token=READER) == 403
    assert set(poisoned) <= set(letters_of(dashboard))


@pytest.mark.parametrize(
    "content", [{}, [], {"all": True, "sequenceNumbers": [1]}, {"sequenceNumbers": []}, {"everything": True}]
)
def test_a_choice_that_is_not_clear_is_refused(dashboard: DashboardServer, content: object) -> None:
    assert act(dashboard, "discard", content) == 400


def test_discarding_one_leaves_the_others_and_is_recorded(dashboard: DashboardServer, poisoned: list[int]) -> None:
    chosen = poisoned[0]

    assert act(dashboard, "discard", {"sequenceNumbers": [chosen]}) == 200

    assert set(letters_of(dashboard)) == set(poisoned) - {chosen}
    newest, asked, *_ = dashboard.call("/api/pipeline", token=OWNER).json["audit"]
    assert (newest["who"], newest["act"], newest["what"], newest["outcome"]) == (
        "owner",
        "discard",
        str(chosen),
        "1 done",
    )
    assert asked["outcome"] == "asked for"


def test_a_replayed_dead_letter_goes_through_the_pipeline_again(
    dashboard: DashboardServer, poisoned: list[int]
) -> None:
    assert act(dashboard, "replay", {"sequenceNumbers": [poisoned[0]]}) == 200

    # Its type is still unknown, so it comes back under a new number.
    wait_until_sync(lambda: bool(set(letters_of(dashboard)) - set(poisoned)), within=WITHIN)
    assert poisoned[0] not in letters_of(dashboard)


def test_all_of_a_tenant_s_viewer_is_all_of_that_tenant(dashboard: DashboardServer, poisoned: list[int]) -> None:
    assert poisoned
    assert act(dashboard, "discard", {"all": True}, token=CONTOSO) == 200

    assert set(letters_of(dashboard).values()) == {"fabrikam"}


def test_the_owner_discards_all(dashboard: DashboardServer, poisoned: list[int]) -> None:
    assert poisoned
    assert act(dashboard, "discard", {"all": True}) == 200

    assert not letters_of(dashboard)


def test_while_the_store_is_away_the_page_says_so_and_the_rest_works(running: RunningPipeline, tmp_path: Path) -> None:
    nowhere = "AccountEndpoint=http://127.0.0.1:9/;AccountKey=a2V5;"
    settings = msgspec.structs.replace(running.instance.settings, cosmos_connection_string=nowhere)
    with dashboard_server(tmp_path, settings) as dashboard:
        answer = dashboard.call("/api/events")

        assert answer.status == 503
        assert answer.json["type"] == "urn:cloudscale:problem:unavailable"
        assert dashboard.call("/api/history").status == 200


def test_while_redis_is_away_the_dashboard_is_alive_and_not_ready(running: RunningPipeline, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(running.instance.settings, redis_url="redis://127.0.0.1:9/0")
    with dashboard_server(tmp_path, settings) as dashboard:
        assert dashboard.call("/health").status == 200
        assert dashboard.call("/ready").status == 503
        assert dashboard.call("/api/history").status == 200


def test_an_unusable_token_file_ends_the_start_with_one_line(running: RunningPipeline, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(running.instance.settings, dashboard_token_file=str(tmp_path / "absent"))
    completed = subprocess.run(
        [sys.executable, "-m", "cloudscale.dashboard"],
        env={**os.environ, **as_environment(settings)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert completed.returncode == 2
    assert completed.stderr.startswith("dashboard cannot start:")
    assert len(completed.stderr.splitlines()) == 1


HOSTILE = [
    "",
    "-1",
    "1e9",
    str(10**30),
    "\x00",
    "\u2028",
    "a" * 5000,
    "[]",
    "{}",
    "null",
    "' OR 1=1",
    "%",
    "../..",
    "é",
]
NAMES = ["id", "correlationId", "user", "type", "since", "until", "tenant", "span", "limit", "after", "nobody-knows-it"]


@pytest.mark.parametrize("page", [*PAGES, "pipeline", "session"])
@pytest.mark.parametrize("token", [OWNER, CONTOSO])
def test_no_query_brings_a_page_down(dashboard: DashboardServer, page: str, token: str) -> None:
    for value in HOSTILE:
        query = "&".join(f"{name}={quote(value, safe='')}" for name in NAMES)
        assert dashboard.call(f"/api/{page}?{query}", token=token).status < 500


@pytest.mark.parametrize("path", ["events", "dead-letters"])
def test_no_name_of_a_record_brings_a_page_down(dashboard: DashboardServer, path: str) -> None:
    for value in HOSTILE:
        assert dashboard.call(f"/api/{path}/{quote(value, safe='')}", token=OWNER).status < 500


@pytest.mark.parametrize(
    "content",
    [
        *(None, [], 1, "all", {"all": 1}, {"all": True, "x": 1}),
        *({"sequenceNumbers": [10**30]}, {"sequenceNumbers": [-1]}, {"sequenceNumbers": ["1"]}),
        *({"reason": 1}, {"reason": "x", "all": True}, {"reason": "x", "sequenceNumbers": [1]}),
    ],
)
def test_a_choice_of_dead_letters_that_is_none_is_refused(dashboard: DashboardServer, content: object) -> None:
    for act in ("replay", "discard"):
        answer = dashboard.call(
            f"/api/dead-letters/{act}", token=OWNER, method="POST", content=content, headers=OWN_PAGE
        )
        assert answer.status == 400
