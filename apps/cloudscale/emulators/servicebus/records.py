"""The records of the journal: what each says, and the state that replaying them gives back."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from cloudscale.emulators.servicebus.description import QueueDescription
from cloudscale.emulators.servicebus.stored import State, StoredMessage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloudscale.emulators.servicebus.journal import Journal

MESSAGE, REMOVED, CHANGED, RENUMBERED, QUEUE, QUEUE_DELETED, SESSION_STATE, HISTORY = range(1, 9)

# kind, queue, sequence, enqueued, expires, due, time to live, delivery count, state, dead, lengths of the two ids
_MESSAGE = struct.Struct(">BIQQQQIIBBHH")
_SEQUENCE = struct.Struct(">BIQ")
_CHANGED = struct.Struct(">BIQIB")
_RENUMBERED = struct.Struct(">BIQQQQ")
_IDENTIFIED = struct.Struct(">BIQ")
_SESSION = struct.Struct(">BIH")
_HISTORY = struct.Struct(">BIQH")
_NEVER = 0


@dataclass(slots=True)
class QueueState:
    """All that is durable about one queue."""

    identifier: int
    description: QueueDescription
    next_sequence: int = 1
    messages: dict[int, StoredMessage] = field(default_factory=dict)
    session_states: dict[str, bytes] = field(default_factory=dict)
    history: dict[str, int] = field(default_factory=dict)


def encode_message(queue: int, message: StoredMessage) -> bytes:
    """Encode everything of a message but its payload, which follows as the rest of the record."""
    session, identifier = (message.session_id or "").encode(), (message.message_id or "").encode()
    head = _MESSAGE.pack(
        MESSAGE,
        queue,
        message.sequence,
        message.enqueued,
        message.expires or _NEVER,
        message.due or _NEVER,
        message.time_to_live or _NEVER,
        message.delivery_count,
        message.state,
        message.dead,
        len(session),
        len(identifier),
    )
    return head + session + identifier


def encode_removed(queue: int, sequence: int) -> bytes:
    """The message is settled, expired or cancelled."""
    return _SEQUENCE.pack(REMOVED, queue, sequence)


def encode_changed(queue: int, message: StoredMessage) -> bytes:
    """The delivery count or the state of the message changed, its octets did not."""
    return _CHANGED.pack(CHANGED, queue, message.sequence, message.delivery_count, message.state)


def encode_renumbered(queue: int, previous: int, message: StoredMessage) -> bytes:
    """A scheduled message became active under a new sequence number."""
    return _RENUMBERED.pack(RENUMBERED, queue, previous, message.sequence, message.enqueued, message.expires or _NEVER)


def encode_queue(state: QueueState) -> bytes:
    """The queue exists with these settings and has given out the sequence numbers before ``next_sequence``."""
    head = _IDENTIFIED.pack(QUEUE, state.identifier, state.next_sequence)
    return head + msgspec.json.encode(state.description)


def encode_queue_deleted(queue: int) -> bytes:
    """The queue and everything in it is gone."""
    return _IDENTIFIED.pack(QUEUE_DELETED, queue, 0)


def encode_session_state(queue: int, session_id: str, state: bytes | None) -> bytes:
    """A session's state was set, or removed."""
    name = session_id.encode()
    return _SESSION.pack(SESSION_STATE, queue, len(name)) + name + (b"\x00" if state is None else b"\x01" + state)


def encode_history(queue: int, message_id: str, until: int) -> bytes:
    """A message id counts as seen until a moment; only snapshots need it, messages carry their own."""
    name = message_id.encode()
    return _HISTORY.pack(HISTORY, queue, until, len(name)) + name


def snapshot(states: Iterator[QueueState]) -> Iterator[bytes]:
    """Encode everything durable that is not messages, for the head of a segment."""
    for state in states:
        yield encode_queue(state)
        for session_id, value in state.session_states.items():
            yield encode_session_state(state.identifier, session_id, value)
        for message_id, until in state.history.items():
            yield encode_history(state.identifier, message_id, until)


def recover(journal: Journal) -> dict[int, QueueState]:
    """Replay the journal into the state of every queue, and count the live records of each segment.

    Raises:
        JournalError: the journal is damaged.
    """
    queues: dict[int, QueueState] = {}
    for segment, offset, body in journal.replay():
        kind, queue = struct.unpack_from(">BI", body)
        if kind == QUEUE:
            _, _, following = _IDENTIFIED.unpack_from(body)
            description = msgspec.json.decode(body[_IDENTIFIED.size :], type=QueueDescription)
            state = queues.setdefault(queue, QueueState(queue, description))
            state.description, state.next_sequence = description, max(state.next_sequence, following)
        elif kind == QUEUE_DELETED:
            queues.pop(queue, None)
        elif (known := queues.get(queue)) is not None:
            _apply(known, kind, body, (segment.number, offset))
    for state in queues.values():
        # A scheduled message can be renumbered, so the order of records is not always that of sequence numbers.
        state.messages = dict(sorted(state.messages.items()))
        for message in state.messages.values():
            journal.retain(message.segment, message.size)
    return queues


def _apply(state: QueueState, kind: int, body: memoryview, position: tuple[int, int]) -> None:
    if kind == MESSAGE:
        message = _decode_message(body, position)
        state.messages[message.sequence] = message
        state.next_sequence = max(state.next_sequence, message.sequence + 1)
        if message.message_id and state.description.requires_duplicate_detection:
            state.history[message.message_id] = message.enqueued + state.description.duplicate_detection_window
    elif kind == REMOVED:
        state.messages.pop(_SEQUENCE.unpack(body)[2], None)
    elif kind == CHANGED:
        _, _, sequence, count, status = _CHANGED.unpack(body)
        if (changed := state.messages.get(sequence)) is not None:
            changed.delivery_count, changed.state = count, State(status)
    elif kind == RENUMBERED:
        _, _, previous, sequence, enqueued, expires = _RENUMBERED.unpack(body)
        state.next_sequence = max(state.next_sequence, sequence + 1)
        if (moved := state.messages.pop(previous, None)) is not None:
            moved.sequence, moved.enqueued, moved.expires = sequence, enqueued, expires or None
            moved.state, moved.due = State.ACTIVE, None
            state.messages[sequence] = moved
    else:
        _apply_beside_messages(state, kind, body)


def _apply_beside_messages(state: QueueState, kind: int, body: memoryview) -> None:
    if kind == SESSION_STATE:
        _, _, length = _SESSION.unpack_from(body)
        name, rest = _text(body, _SESSION.size, length)
        if body[rest]:
            state.session_states[name] = bytes(body[rest + 1 :])
        else:
            state.session_states.pop(name, None)
    elif kind == HISTORY:
        _, _, until, length = _HISTORY.unpack_from(body)
        name, _ = _text(body, _HISTORY.size, length)
        state.history[name] = until


def _decode_message(body: memoryview, position: tuple[int, int]) -> StoredMessage:
    (_, _, sequence, enqueued, expires, due, time_to_live, count, status, dead, session, identifier) = (
        _MESSAGE.unpack_from(body)
    )
    session_id, start = _text(body, _MESSAGE.size, session)
    message_id, start = _text(body, start, identifier)
    segment, offset = position
    return StoredMessage(
        sequence=sequence,
        enqueued=enqueued,
        size=len(body) - start,
        state=State(status),
        dead=bool(dead),
        delivery_count=count,
        time_to_live=time_to_live or None,
        expires=expires or None,
        due=due or None,
        session_id=session_id or None,
        message_id=message_id or None,
        segment=segment,
        offset=offset + start,
    )


def _text(body: memoryview, start: int, length: int) -> tuple[str, int]:
    return str(body[start : start + length], "utf-8"), start + length
