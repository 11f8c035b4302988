"""A schema of an event type is closed in itself, and checking an event by it is bounded work."""

from __future__ import annotations

import http.server
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from cloudscale.errors import InvalidPipelineError
from cloudscale.events.checking import InvalidEventError
from cloudscale.events.types import EventTypes
from cloudscale.pipeline import EventType, load
from cloudscale.pipeline import json_schemas as module
from cloudscale.pipeline.json_schemas import UnusableSchemaError, compile_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Schema = dict[str, Any]


class Listener:
    """A server that notes whatever is asked of it."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                listener.requests.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"type": "object"}')

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class names it
                """Keep the test's output quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    thread = threading.Thread(target=listener.server.serve_forever)
    thread.start()
    yield listener
    listener.server.shutdown()
    thread.join()
    listener.server.server_close()


def resource(schema: Any) -> Schema:
    return {
        "apiVersion": "cloudscale.io/v1alpha1",
        "kind": "EventPipeline",
        "metadata": {"name": "x"},
        "spec": {"eventTypes": [{"name": "reading", "schema": schema}]},
    }


def levels(keyword: str, count: int) -> Schema:
    """So many levels, each of which has the next one twice."""
    definitions: Schema = {f"d{level}": {keyword: [{"$ref": f"#/$defs/d{level + 1}"}] * 2} for level in range(count)}
    return {"$defs": {**definitions, f"d{count}": {"type": "string"}}, "$ref": "#/$defs/d0"}


def nested(keyword: str, count: int) -> Schema:
    """So many levels, each of which asks what the next one has evaluated."""
    schema: Schema = {"type": "object"}
    for _ in range(count):
        schema = {"allOf": [schema], keyword: False}
    return schema


@pytest.mark.parametrize(
    "keyword", ["$ref", "$id", "$schema", "$dynamicRef", "$recursiveRef", "$anchor", "$vocabulary"]
)
@pytest.mark.parametrize("place", ["root", "property", "definition", "unknown keyword"])
def test_nothing_is_fetched_because_a_schema_names_it(listener: Listener, keyword: str, place: str) -> None:
    leading = {keyword: f"{listener.url}/leads-outside"}
    schema: Any = {
        "root": leading,
        "property": {"properties": {"a": {"items": leading}}},
        "definition": {"$defs": {"a": leading}},
        "unknown keyword": {"x-ours": leading, "properties": {"a": {"x-ours": [leading]}}},
    }[place]
    try:
        compile_schema(schema).is_valid({"a": [1]})
    except UnusableSchemaError:
        is_refused = True
    else:
        is_refused = False
    # What has no meaning in a schema does no harm.
    assert is_refused == (place != "unknown keyword")
    assert listener.requests == []


def test_no_file_is_opened_because_a_schema_names_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"required": ["THE_SECRET"]}')
    for there in (secret, tmp_path / "absent.json"):
        with pytest.raises(UnusableSchemaError) as refused:
            compile_schema({"$ref": there.as_uri()})
        assert "THE_SECRET" not in str(refused.value)
        assert "nothing outside of the schema is ever read" in str(refused.value)


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ({"properties": {"a": {"$ref": "#"}}}, "/properties/a/$ref"),
        ({"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}, "refers to itself"),
        ({"$ref": "#/$defs/nowhere"}, "no such definition"),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "exclusiveMinimum": True}, "/$schema"),
        ({"exclusiveMinimum": True}, "is not of type"),
        ({"pattern": "^(?=(a+)+$)\\1$"}, "regex"),
        ({"pattern": "((a{1,1000}){1,1000}){1,1000}"}, "regex"),
        (levels("anyOf", 16), "subschemas"),
        (levels("allOf", 16), "subschemas"),
        ({"items": {"anyOf": [{"type": "string"}] * 250}}, "for each item or member"),
        ({"patternProperties": {f"^{number}$": True for number in range(250)}}, "for each item or member"),
        ({"properties": {str(number): {"pattern": "a"} for number in range(150)}}, "patterns"),
        ({"description": "x" * module.LARGEST_BYTES}, "bytes"),
        (nested("unevaluatedProperties", 2), "unevaluatedProperties above another one"),
        (nested("unevaluatedProperties", 16), "unevaluatedProperties above another one"),
        (nested("unevaluatedItems", 12), "unevaluatedProperties above another one"),
        ({"multipleOf": 1e-300}, "multipleOf is 1e-300"),
        ({"items": {"allOf": [{"multipleOf": 0.01}] * 3}}, "for each item or member"),
    ],
)
def test_what_cannot_be_used_is_refused_by_validate_and_by_the_services_alike(schema: Schema, complaint: str) -> None:
    with pytest.raises(InvalidPipelineError) as refused:
        load(resource(schema))
    assert complaint in str(refused.value)
    assert "spec.eventTypes[0].schema" in str(refused.value)
    with pytest.raises(UnusableSchemaError):
        compile_schema(schema)


def test_half_of_a_surrogate_pair_is_named() -> None:
    with pytest.raises(UnusableSchemaError, match="half of a surrogate pair"):
        compile_schema({"const": "\ud800"})


def test_an_event_with_a_mistake_in_every_item_gets_a_bounded_answer() -> None:
    types = EventTypes(
        [EventType(name="reading", schema={"properties": {"rows": {"items": {"allOf": [False] * 150}}}})]
    )
    with pytest.raises(InvalidEventError) as refused:
        types.check({"eventType": "reading", "tenantId": "t", "rows": [1] * 500})
    assert 0 < len(refused.value.errors) <= 100


def test_a_deep_schema_is_refused_and_does_not_end_the_process() -> None:
    schema: Schema = {"type": "object"}
    for _ in range(500):
        schema = {"properties": {"a": schema}}
    with pytest.raises(UnusableSchemaError, match="deeper than"):
        compile_schema(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"$ref": {"type": "string"}, "$id": {"const": "http://example.com"}}},
        {"$schema": module.DRAFT, "$defs": {"a/b": {"type": "number"}}, "properties": {"a": {"$ref": "#/$defs/a~1b"}}},
        {"enum": [{"$ref": "http://example.com/"}]},
        {"properties": {f"field{number}": {"type": "number", "minimum": 0} for number in range(300)}},
        {"properties": {"rows": {"items": {"properties": {f"f{number}": {} for number in range(100)}}}}},
        levels("allOf", 6),
        nested("unevaluatedProperties", 1),
        {"properties": {"amount": {"multipleOf": 0.01}, "lines": {"items": {"multipleOf": 0.01}}}},
        {"multipleOf": 5.0},
    ],
)
def test_an_ordinary_schema_is_taken(schema: Schema) -> None:
    load(resource(schema))
    EventTypes([EventType(name="reading", schema=schema)])


def test_the_most_work_that_is_taken_stays_near_that_of_reading_the_event() -> None:
    worst = compile_schema({"items": {"anyOf": [{"type": "string"}] * (module.MOST_REPEATED_SUBSCHEMAS - 10)}})
    event = msgspec.json.encode([0] * 30_000)

    began = time.process_time()
    for _ in range(20):
        msgspec.json.decode(event)
    reading = (time.process_time() - began) / 20
    began = time.process_time()
    worst.is_valid(msgspec.json.decode(event))
    # An unbounded schema took ten thousand times as long as reading.
    assert time.process_time() - began < 2000 * reading


def test_a_pattern_takes_linear_time() -> None:
    validator = compile_schema({"pattern": "^(a+)+$"})

    def seconds(length: int) -> float:
        began = time.process_time()
        for _ in range(50):
            validator.is_valid("a" * length + "!")
        return time.process_time() - began

    seconds(100)
    assert seconds(30_000) < 3000 * max(seconds(100), 1e-5)
