from __future__ import annotations

import string
import uuid
from typing import Any

import pytest
from azure.servicebus._pyamqp._decode import decode_payload
from azure.servicebus._pyamqp._encode import encode_payload
from azure.servicebus._pyamqp.message import Header, Message, Properties
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.emulators.servicebus.codec import CodecError
from cloudscale.emulators.servicebus.message import (
    DeliveryState,
    for_delivery,
    parse,
    sections,
    unbatch,
    with_application_properties,
)

SYMBOLS = st.dictionaries(st.text(string.ascii_letters, min_size=1, max_size=20), st.text(max_size=300), max_size=8)
PLAIN = DeliveryState(sequence=1, enqueued=0, delivery_count=0)
TEXTS = st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=300), max_size=8)


def encoded(**fields: Any) -> bytes:
    output = bytearray()
    encode_payload(output, Message(**({"data": [b"body"]} | fields)))
    return bytes(output)


def delivered(payload: bytes, state: DeliveryState = PLAIN) -> Any:
    return decode_payload(memoryview(for_delivery(payload, state)))


@given(SYMBOLS, TEXTS)
def test_a_message_comes_out_as_the_sdk_put_it_in(annotations: dict[str, str], properties: dict[str, str]) -> None:
    sent = encoded(message_annotations=annotations or None, application_properties=properties or None)
    message = delivered(parse(sent, with_identity=False).payload)
    assert b"".join(message.data) == b"body"
    assert message.application_properties == (
        {key.encode(): value.encode() for key, value in properties.items()} or None
    )
    assert {key.encode(): value.encode() for key, value in annotations.items()}.items() <= (
        message.message_annotations.items()
    )


def test_the_broker_writes_header_and_annotations() -> None:
    token = uuid.uuid4()
    state = DeliveryState(
        sequence=7,
        enqueued=1000,
        delivery_count=300,
        time_to_live=5000,
        locked_until=2000,
        dead_letter_source="queue",
        state=1,
        lock_token=token,
    )
    message = delivered(parse(encoded(), with_identity=False).payload, state)
    assert (message.header.delivery_count, message.header.ttl) == (300, 5000)
    assert message.message_annotations == {
        b"x-opt-sequence-number": 7,
        b"x-opt-enqueued-time": 1000,
        b"x-opt-locked-until": 2000,
        b"x-opt-deadletter-source": b"queue",
        b"x-opt-message-state": 1,
    }
    assert message.delivery_annotations == {b"x-opt-lock-token": token}


def test_the_broker_reads_what_it_needs() -> None:
    properties = Properties(message_id="id", group_id="session")
    annotations = {"x-opt-scheduled-enqueue-time": {"TYPE": "TIMESTAMP", "VALUE": 4711}}
    sent = encoded(header=Header(ttl=60_000), properties=properties, message_annotations=annotations)
    incoming = parse(sent, with_identity=True)
    assert (incoming.time_to_live, incoming.scheduled) == (60_000, 4711)
    assert (incoming.message_id, incoming.session_id) == ("id", "session")


@pytest.mark.parametrize("properties", [None, Properties(subject="only"), Properties()])
def test_a_message_without_an_id_gets_one(properties: Properties | None) -> None:
    message = delivered(parse(encoded(properties=properties), with_identity=False).payload)
    assert len(message.properties.message_id) == 32
    assert message.properties.subject == (None if properties is None else properties.subject and b"only")


@given(TEXTS, TEXTS)
def test_application_properties_are_set_and_replaced(before: dict[str, str], change: dict[str, str]) -> None:
    payload = parse(encoded(application_properties=before or None), with_identity=False).payload
    message = delivered(with_application_properties(payload, dict(change)))
    assert (message.application_properties or {}) == {
        key.encode(): value.encode() for key, value in (before | change).items()
    }
    assert b"".join(message.data) == b"body"


def test_a_batch_holds_whole_messages() -> None:
    messages = [encoded(data=[b"x" * size]) for size in (1, 400)]
    assert unbatch(encoded(data=messages)) == messages


@given(st.binary(max_size=100))
def test_arbitrary_octets_are_sections_or_a_codec_error(data: bytes) -> None:
    try:
        end = [end for _, _, end in sections(data)]
    except CodecError:
        return
    assert not data or end[-1] == len(data)


@pytest.mark.parametrize("data", [b"\x00\x53\x75\xa0\x05abc", b"\x00\xa3\x01a\x40", b"abc", b"\x00\x53\x72\xa0\x00"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        parse(data, with_identity=True)
