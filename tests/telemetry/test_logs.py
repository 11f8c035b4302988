from __future__ import annotations

import json
import logging
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from cloudscale.telemetry import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_json_with_time_level_and_logger(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(format="json")

    structlog.get_logger("cloudscale.test").info("queue created", queue="events")

    [line] = lines(capsys)
    assert line["event"] == "queue created"
    assert line["queue"] == "events"
    assert line["level"] == "info"
    assert line["logger"] == "cloudscale.test"
    assert line["timestamp"].endswith("Z")


def test_lines_of_libraries_have_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(format="json")

    logging.getLogger("some.library").warning("retrying in %s s", 3)

    [line] = lines(capsys)
    assert line["event"] == "retrying in 3 s"
    assert line["level"] == "warning"


def test_bound_ids_are_in_every_line_of_the_block_and_in_none_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(format="json")
    log = structlog.get_logger("cloudscale.test")

    with logs.bind(correlation_id="c-1", event_id="e-1"):
        log.info("ours")
        logging.getLogger("some.library").warning("theirs")
    log.info("after")

    ours, theirs, after = lines(capsys)
    assert ours["correlation_id"] == theirs["correlation_id"] == "c-1"
    assert ours["event_id"] == theirs["event_id"] == "e-1"
    assert "correlation_id" not in after


@pytest.mark.parametrize(
    "text",
    [
        "Endpoint=sb://x/;SharedAccessKeyName=root;SharedAccessKey=s3cret;EntityPath=q",
        "AccountEndpoint=https://x/;AccountKey=s3cret;",
        "connecting to rediss://user:s3cret@cache:6380/0",
        "Authorization: Bearer s3cret",
        "https://x.example/?sv=1&sig=s3cret",
    ],
)
def test_secrets_inside_of_texts_are_masked(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(format="json")

    structlog.get_logger("cloudscale.test").error(text, where={"deeper": [text]})
    logging.getLogger("some.library").error(text)

    written = capsys.readouterr().err
    assert "s3cret" not in written
    assert written.count(logs.WITHHELD) == 3


@pytest.mark.parametrize("field", ["payload", "body", "metadata", "connection_string", "Authorization"])
def test_payloads_and_credentials_are_withheld(field: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(format="json")

    structlog.get_logger("cloudscale.test").info("sent", **{field: "private"})

    assert "private" not in capsys.readouterr().err


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_traceback_is_logged_without_local_variables_and_without_secrets(
    format: Any,  # noqa: A002 - the parameter's name
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure(format=format)

    def fail(payload: str) -> None:
        raise ValueError("cannot use AccountKey=s3cret;")

    value = "".join(["pri", "vate"])
    try:
        fail(value)
    except ValueError:
        structlog.get_logger("cloudscale.test").exception("it failed")

    written = capsys.readouterr().err
    assert "ValueError" in written
    assert "private" not in written
    assert "s3cret" not in written


def test_the_level_is_respected(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(format="json", level="warning")

    structlog.get_logger("cloudscale.test").info("unimportant")
    structlog.get_logger("cloudscale.test").warning("important")

    assert [line["event"] for line in lines(capsys)] == ["important"]


def test_requests_of_the_sdks_are_not_logged_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(format="json")

    logging.getLogger("azure.core.pipeline.policies.http_logging_policy").info("Request URL: …")

    assert not lines(capsys)


def test_warnings_become_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(format="json")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("something is old", stacklevel=1)
        logging.captureWarnings(capture=False)

    [line] = lines(capsys)
    assert "something is old" in line["event"]


def test_the_console_form_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(format="console")

    structlog.get_logger("cloudscale.test").info("queue created", queue="events")

    written = capsys.readouterr().err
    assert "queue created" in written
    assert "queue=events" in written
