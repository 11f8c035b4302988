from __future__ import annotations

import pytest
from azure.servicebus._pyamqp._decode import decode_frame
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.emulators.servicebus.codec import CodecError, UnsignedLong
from cloudscale.emulators.servicebus.frames import ACCEPTED, disposition_body, frame, rejected, transfer_body
from cloudscale.emulators.servicebus.performatives import (
    Attach,
    Begin,
    Disposition,
    Flow,
    Open,
    Performative,
    Transfer,
    decode_performative,
    terminus,
)

UINT = st.integers(0, 2**32 - 1)
PERFORMATIVES = st.one_of(
    st.builds(Open, st.text(), st.none() | st.text(), UINT, st.integers(0, 2**16 - 1), st.none() | UINT),
    st.builds(Begin, st.none() | st.integers(0, 2**16 - 1), UINT, UINT, UINT, UINT),
    st.builds(Flow, st.none() | UINT, UINT, UINT, UINT, st.none() | UINT, st.none() | UINT, st.none() | UINT),
    st.builds(Transfer, UINT, UINT, st.binary(max_size=32), UINT, st.booleans(), st.booleans()),
    st.builds(Disposition, st.booleans(), UINT, st.none() | UINT, st.booleans()),
)


@given(PERFORMATIVES)
def test_a_performative_survives_the_wire(performative: Performative) -> None:
    body = performative.encode()
    assert decode_performative(body + b"payload") == (performative, len(body))


@given(UINT, UINT, st.binary(min_size=16, max_size=16), st.booleans(), st.booleans())
def test_the_packed_transfer_is_the_general_one(
    handle: int,
    delivery: int,
    tag: bytes,
    settled: bool,
    more: bool,
) -> None:
    performative, end = decode_performative(transfer_body(handle, delivery, tag, settled=settled, more=more) + b"rest")
    assert performative == Transfer(handle, delivery, tag, 0, settled, more)
    assert end == len(transfer_body(handle, delivery, tag, settled=settled, more=more))


@given(UINT, UINT, st.booleans(), st.sampled_from(["", "x" * 100, "x" * 300]))
def test_the_packed_disposition_is_the_general_one(
    first: int,
    last: int,
    receiver: bool,
    text: str,
) -> None:
    outcome = rejected("amqp:not-found", text) if text else ACCEPTED
    performative, _ = decode_performative(disposition_body(first, last, outcome, receiver=receiver))
    assert isinstance(performative, Disposition)
    assert (performative.role, performative.first, performative.last) == (receiver, first, last)
    assert performative.settled
    assert performative.state is not None
    assert performative.state.descriptor == (0x25 if text else 0x24)


def test_fields_at_the_end_may_be_left_out() -> None:
    assert decode_performative(b"\x00\x53\x17\x45")[0].encode()
    flow, _ = decode_performative(b"\x00\x53\x13\xc0\x05\x04\x43\x43\x43\x43")
    assert flow == Flow(0, 0, 0, 0)


def test_the_sdk_reads_our_attach() -> None:
    attach = Attach("name", 3, role=True, source=terminus(0x28, ["queue"]), max_message_size=UnsignedLong(1024))
    code, fields = decode_frame(memoryview(attach.encode()))
    assert code == 0x12
    assert fields[:3] == [b"name", 3, True]
    assert fields[10] == 1024


@pytest.mark.parametrize("body", [b"\x40", b"\x00\x53\x99\x45", b"\x00\x53\x10\x40", b"\x45"])
def test_what_is_no_performative_is_refused(body: bytes) -> None:
    with pytest.raises(CodecError):
        decode_performative(body)


def test_a_frame_has_a_header_of_eight_octets() -> None:
    assert frame(7, b"body", 1) == b"\x00\x00\x00\x0c\x02\x01\x00\x07body"
    assert frame(0, b"") == b"\x00\x00\x00\x08\x02\x00\x00\x00"
