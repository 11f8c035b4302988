"""The operations of a queue's ``$management`` node, by the names and keys the clients use."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cloudscale.emulators.servicebus.address import parse_address
from cloudscale.emulators.servicebus.authorization import Right
from cloudscale.emulators.servicebus.codec import Array, Integer, Timestamp
from cloudscale.emulators.servicebus.conditions import (
    ArgumentError,
    MessageLockLostError,
    NotImplementedConditionError,
)
from cloudscale.emulators.servicebus.message import Request, for_delivery, parse
from cloudscale.emulators.servicebus.settlement import plain_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cloudscale.emulators.servicebus.broker import Broker
    from cloudscale.emulators.servicebus.queue import Queue
    from cloudscale.emulators.servicebus.stored import StoredMessage

PREFIX = "com.microsoft:"
SENDING = frozenset({"schedule-message", "cancel-scheduled-message"})
NO_CONTENT = 204
MAX_PEEKED_BYTES = 900_000
"""A reply has to stay below the maximum message size; the client asks again from where it ended."""

Reply = tuple[int, Any, str | None]
"""Status, value and error condition."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a queue or its dead-letter sub-queue."""

    queue: Queue
    dead: bool
    arguments: dict[str, Any]

    def argument(self, name: str) -> Any:
        """Read an argument.

        Raises:
            ArgumentError: the request lacks it.
        """
        value = self.arguments.get(name)
        if value is None:
            raise ArgumentError(f"the request lacks the argument {name!r}")
        return value

    def sequence(self, name: str) -> Sequence[Any]:
        """Read an argument that is an array or a list."""
        value = self.argument(name)
        if isinstance(value, Array):
            return value.items
        if isinstance(value, list):
            return value
        raise ArgumentError(f"the argument {name!r} is no array")

    def tokens(self) -> list[bytes]:
        """Read the lock tokens: uuids in .NET's byte order, as delivery tags are."""
        tokens = self.sequence("lock-tokens")
        return [token.bytes_le if isinstance(token, uuid.UUID) else bytes(token) for token in tokens]


def right_for(request: Request) -> Right:
    """The right that a request needs: to send for what puts messages into the queue or takes them back."""
    return Right.SEND if _operation(request) in SENDING else Right.LISTEN


def _operation(request: Request) -> str:
    return str(request.properties.get("operation", "")).removeprefix(PREFIX)


def manage(broker: Broker, path: str, request: Request) -> Reply:
    """Carry a request out.

    Raises:
        ConditionError: why it cannot be.
    """
    address = parse_address(path)
    operation = _operation(request)
    handler = OPERATIONS.get(operation)
    if handler is None:
        raise NotImplementedConditionError(f"the emulator does not know the operation {operation!r}")
    arguments = request.value if isinstance(request.value, dict) else {}
    return handler(Call(broker.queue(address.entity), address.dead, arguments))


def _renew_locks(call: Call) -> Reply:
    expirations = [Timestamp(call.queue.renew(token)) for token in call.tokens()]
    return 200, {"expirations": Array(Timestamp, tuple(expirations))}, None


def _peek(call: Call) -> Reply:
    session_id = call.arguments.get("session-id")
    count = int(call.argument("message-count"))
    messages: list[dict[str, Any]] = []
    size = 0
    start = int(call.argument("from-sequence-number"))
    for message in call.queue.contents.peek(start, count, dead=call.dead, session_id=session_id):
        size += message.size
        if messages and size > MAX_PEEKED_BYTES:
            break
        messages.append({"message": _encode(call, message, locked=False)})
    if not messages:
        return NO_CONTENT, None, None
    return 200, {"messages": messages}, None


def _schedule(call: Call) -> Reply:
    given = call.sequence("messages")
    incoming = [parse(bytes(item["message"]), with_identity=True) for item in given]
    numbers = call.queue.send(incoming)
    return 200, {"sequence-numbers": Array(int, tuple(numbers))}, None


def _cancel(call: Call) -> Reply:
    call.queue.contents.cancel([int(number) for number in call.sequence("sequence-numbers")])
    return 200, None, None


def _receive_deferred(call: Call) -> Reply:
    # The receiver's settle mode: first (0) is receive-and-delete, second (1) peek-lock.
    deletes = int(call.arguments.get("receiver-settle-mode", 1)) == 0
    numbers = [int(number) for number in call.sequence("sequence-numbers")]
    found = call.queue.lock_deferred(numbers, dead=call.dead, deletes=deletes)
    messages = []
    for message in found:
        entry: dict[str, Any] = {"message": _encode(call, message, locked=True)}
        if message.lock_token is not None:
            entry["lock-token"] = uuid.UUID(bytes_le=message.lock_token)
        messages.append(entry)
    if deletes:
        call.queue.contents.remove_all(found)
    return 200, {"messages": messages}, None


def _encode(call: Call, message: StoredMessage, *, locked: bool) -> bytes:
    state = message.delivery_state(source=call.queue.description.name)
    if locked and message.lock_token is not None:
        # The Go SDK reads the token from the message itself.
        state = replace(state, lock_token=uuid.UUID(bytes_le=message.lock_token))
    return for_delivery(call.queue.storage.payload(message), state)


def _update_disposition(call: Call) -> Reply:
    status = str(call.argument("disposition-status"))
    tokens = call.tokens()
    if any(token not in call.queue.locked for token in tokens):
        raise MessageLockLostError("the lock of a message expired, or the message is settled already")
    properties = plain_keys(call.arguments.get("properties-to-modify"))
    for token in tokens:
        if status == "completed":
            call.queue.complete(token)
        elif status == "abandoned":
            call.queue.abandon(token, properties)
        elif status == "defered":
            call.queue.defer(token, properties)
        elif status == "suspended":
            reasons = {
                "DeadLetterReason": call.arguments.get("deadletter-reason"),
                "DeadLetterErrorDescription": call.arguments.get("deadletter-description"),
            }
            given = {name: value for name, value in reasons.items() if value is not None}
            call.queue.dead_letter(token, given | (properties or {}))
        else:
            raise ArgumentError(f"{status!r} is no disposition: use completed, abandoned, defered or suspended")
    return 200, None, None


def _renew_session(call: Call) -> Reply:
    return 200, {"expiration": Timestamp(call.queue.renew_session(str(call.argument("session-id"))))}, None


def _get_session_state(call: Call) -> Reply:
    state = call.queue.storage.state.session_states.get(str(call.argument("session-id")))
    return 200, {"session-state": state}, None


def _set_session_state(call: Call) -> Reply:
    value = call.arguments.get("session-state")
    call.queue.storage.set_session_state(str(call.argument("session-id")), None if value is None else bytes(value))
    return 200, None, None


def _list_sessions(call: Call) -> Reply:
    skip, top = int(call.arguments.get("skip", 0)), int(call.arguments.get("top", 100))
    names = call.queue.session_names()[skip : skip + top]
    if not names:
        return NO_CONTENT, None, PREFIX + "session-not-found"
    return 200, {"skip": Integer(skip + len(names)), "sessions-ids": Array(str, tuple(names))}, None


OPERATIONS: dict[str, Callable[[Call], Reply]] = {
    "renew-lock": _renew_locks,
    "peek-message": _peek,
    "schedule-message": _schedule,
    "cancel-scheduled-message": _cancel,
    "receive-by-sequence-number": _receive_deferred,
    "update-disposition": _update_disposition,
    "renew-session-lock": _renew_session,
    "get-session-state": _get_session_state,
    "set-session-state": _set_session_state,
    "get-message-sessions": _list_sessions,
}
