"""How a client's attach becomes a link: which entity it names, whether it may, and with which session."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cloudscale.emulators.servicebus.address import CBS, parse_address
from cloudscale.emulators.servicebus.authorization import Right, entity_path
from cloudscale.emulators.servicebus.codec import CodecError, Described, Symbol, UnsignedLong
from cloudscale.emulators.servicebus.conditions import (
    ConditionError,
    NotAllowedError,
    NotImplementedConditionError,
    SessionLockLostError,
)
from cloudscale.emulators.servicebus.links import (
    MAX_MESSAGE_BYTES,
    IncomingLink,
    OutgoingLink,
    ReplyLink,
    sends_to,
)
from cloudscale.emulators.servicebus.performatives import Attach, Detach, ErrorDetail, terminus
from cloudscale.emulators.servicebus.requests import answers
from cloudscale.emulators.servicebus.sessions import Acceptance, Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudscale.emulators.servicebus.broker import Broker
    from cloudscale.emulators.servicebus.channel import Channel
    from cloudscale.emulators.servicebus.queue import Queue

SOURCE, TARGET, COORDINATOR = 0x28, 0x29, 0x30
FILTER_FIELD = 7
SESSION_FILTER = "com.microsoft:session-filter"
LOCKED_UNTIL = "com.microsoft:locked-until-utc"
ACCEPT_TIMEOUT = "com.microsoft:timeout"
DEFAULT_ACCEPT_TIMEOUT_MILLISECONDS = 60_000
DOTNET_EPOCH_TICKS = 621_355_968_000_000_000
"""1970-01-01 in .NET ticks of 100 ns, the unit of a session's ``locked-until-utc``."""


@dataclass(frozen=True, slots=True)
class PendingAttach:
    """An attach without an answer: its receiver waits for a session that has messages."""

    channel: Channel
    request: Attach
    queue: Queue
    acceptance: Acceptance

    def withdraw(self) -> None:
        """Wait no longer."""
        self.queue.sessions.withdraw(self.acceptance)

    def detach(self) -> None:
        """Answer a client that has waited long enough: a link that never came to be, and its end (2.6.3)."""
        self.withdraw()
        _answer_without_terminus(self.channel, self.request)
        self.channel.write(Detach(self.request.handle, closed=True).encode())


def attach(channel: Channel, broker: Broker, request: Attach) -> None:
    """Answer an attach with a link, or refuse it: attach without a terminus, then detach with the error (2.6.3).

    Raises:
        CodecError: the handle belongs to another link, which would go on to take messages unseen.
    """
    if request.handle in channel.incoming or request.handle in channel.outgoing or request.handle in channel.pending:
        raise CodecError(f"handle {request.handle} on channel {channel.number} is in use: detach its link first")
    try:
        _attach(channel, broker, request)
    except ConditionError as error:
        refuse(channel, request, error)


def refuse(channel: Channel, request: Attach, error: ConditionError) -> None:
    """Refuse an attach."""
    _answer_without_terminus(channel, request)
    detail = ErrorDetail(error.condition, str(error))
    channel.write(Detach(request.handle, closed=True, error=detail).encode())


def _answer_without_terminus(channel: Channel, request: Attach) -> None:
    answer = Attach(
        request.name,
        request.handle,
        role=not request.role,
        snd_settle_mode=request.snd_settle_mode,
        rcv_settle_mode=request.rcv_settle_mode,
        initial_delivery_count=0 if request.role else None,
    )
    channel.write(answer.encode())


def _attach(channel: Channel, broker: Broker, request: Attach) -> None:
    if request.target is not None and request.target.descriptor == COORDINATOR:
        raise NotImplementedConditionError("the emulator has no transactions: send and settle without one")
    end = request.source if request.role else request.target
    fields = end.value if end is not None else []
    path = entity_path(str(fields[0])) if fields and fields[0] else ""
    if path == CBS:
        _attach_requests(channel, broker, request, path=path, check=lambda: None)
        return
    address = parse_address(path)
    rights = (Right.LISTEN, Right.SEND) if address.management else (Right.LISTEN if request.role else Right.SEND,)

    def check() -> None:
        if address.management:
            queue.availability.check()
        elif request.role:
            queue.availability.check_receiving()
        else:
            queue.availability.check_sending()
        channel.connection.authorize(address.resource, *rights)

    # Whoever has no token learns nothing about which queues exist.
    channel.connection.authorize(address.resource, *rights)
    queue = broker.queue(address.entity)
    check()
    if address.management:
        _attach_requests(channel, broker, request, path=path, check=check)
    elif not request.role:
        if address.dead:
            raise NotAllowedError("a dead-letter queue takes no messages from clients: send to the queue itself")
        _accept(channel, request)
        link = IncomingLink(channel, broker, request.handle, receive=sends_to(broker, queue), check=check)
        channel.incoming[request.handle] = link
        link.start()
    else:
        deletes = request.snd_settle_mode == 1
        outgoing = OutgoingLink(channel, request.handle, queue, dead=address.dead, deletes=deletes, check=check)
        _attach_receiver(channel, broker, request, outgoing)


def _attach_requests(
    channel: Channel, broker: Broker, request: Attach, *, path: str, check: Callable[[], None]
) -> None:
    _accept(channel, request)
    if request.role:
        channel.outgoing[request.handle] = ReplyLink(channel, request.handle, path, check)
        return
    link = IncomingLink(channel, broker, request.handle, receive=answers(channel, broker, path), check=check)
    channel.incoming[request.handle] = link
    link.start()


def _attach_receiver(channel: Channel, broker: Broker, request: Attach, link: OutgoingLink) -> None:
    wanted = _session_filter(request)
    if not link.queue.description.requires_session or link.dead:
        if wanted is not None:
            raise NotAllowedError(
                f"queue {link.queue.description.name!r} has no sessions: receive without a session id"
            )
        _accept(channel, request)
        channel.outgoing[request.handle] = link
        link.start(None)
        return
    if wanted is None:
        raise NotAllowedError(
            f"queue {link.queue.description.name!r} requires sessions: accept a session to receive from it"
        )
    (identifier,) = wanted
    if identifier is not None:
        _start_session(channel, request, link, identifier)
        return

    def accept(found: str) -> None:
        del channel.pending[request.handle]
        _start_session(channel, request, link, found)

    def decline(error: ConditionError) -> None:
        del channel.pending[request.handle]
        refuse(channel, request, error)

    timeout = (request.properties or {}).get(ACCEPT_TIMEOUT, DEFAULT_ACCEPT_TIMEOUT_MILLISECONDS)
    acceptance = Acceptance(broker.clock() + int(timeout), accept, decline)
    channel.pending[request.handle] = PendingAttach(channel, request, link.queue, acceptance)
    link.queue.accept_session(acceptance)


def _start_session(channel: Channel, request: Attach, link: OutgoingLink, identifier: str) -> None:
    def lost() -> None:
        error = SessionLockLostError(f"the lock of session {identifier!r} expired: accept the session again")
        channel.detach(request.handle, error)

    session: Session = link.queue.hold_session(identifier, lost)
    ticks = session.locked_until * 10_000 + DOTNET_EPOCH_TICKS
    _accept(channel, request, session_id=identifier, properties={Symbol(LOCKED_UNTIL): ticks})
    channel.outgoing[request.handle] = link
    link.start(session)


def _session_filter(request: Attach) -> tuple[str | None] | None:
    """The session a receiver asks for: none at all, the next one (``(None,)``), or one by name."""
    fields = request.source.value if request.source is not None else []
    filters = fields[FILTER_FIELD] if len(fields) > FILTER_FIELD else None
    if not isinstance(filters, dict) or SESSION_FILTER not in filters:
        return None
    value = filters[SESSION_FILTER]
    value = value.value if isinstance(value, Described) else value
    return (None if value is None else str(value),)


def _accept(
    channel: Channel, request: Attach, *, session_id: str | None = None, properties: dict[Any, Any] | None = None
) -> None:
    """Answer an attach with our own; a session filter comes back with the session that was locked."""
    source: list[Any] = list(request.source.value[:1]) if request.source is not None else []
    if session_id is not None and request.source is not None:
        value: Any = session_id
        given = request.source.value[FILTER_FIELD][SESSION_FILTER]
        if isinstance(given, Described):
            descriptor = given.descriptor
            value = Described(UnsignedLong(descriptor) if isinstance(descriptor, int) else descriptor, session_id)
        source += [None] * (FILTER_FIELD - len(source)) + [{Symbol(SESSION_FILTER): value}]
    target = list(request.target.value[:1]) if request.target is not None else []
    answer = Attach(
        request.name,
        request.handle,
        role=not request.role,
        snd_settle_mode=request.snd_settle_mode,
        rcv_settle_mode=request.rcv_settle_mode,
        source=terminus(SOURCE, source),
        target=terminus(TARGET, target),
        max_message_size=UnsignedLong(MAX_MESSAGE_BYTES),
        properties=properties,
    )
    channel.write((replace(answer, initial_delivery_count=0) if request.role else answer).encode())
