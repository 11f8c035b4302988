"""The errors that clients see: AMQP error conditions, and the status codes of the request-response protocol."""

from __future__ import annotations

from cloudscale.errors import CloudScaleError


class ConditionError(CloudScaleError):
    """A client's wish cannot be met. ``condition`` is the AMQP error condition, ``status`` the code in a reply."""

    condition = "amqp:internal-error"
    status = 500


class EntityNotFoundError(ConditionError):
    """No such queue."""

    condition = "amqp:not-found"
    status = 404


class EntityExistsError(ConditionError):
    """A queue of this name exists already."""

    condition = "com.microsoft:entity-already-exists"
    status = 409


class UnauthorizedError(ConditionError):
    """The connection has no valid token for the entity."""

    condition = "amqp:unauthorized-access"
    status = 401


class NotAllowedError(ConditionError):
    """The operation does not suit the entity, such as a receiver without a session on a queue with sessions."""

    condition = "amqp:not-allowed"
    status = 400


class ArgumentError(ConditionError):
    """A request lacks an argument or holds one that cannot be used."""

    condition = "com.microsoft:argument-error"
    status = 400


class NotImplementedConditionError(ConditionError):
    """The emulator does not do this."""

    condition = "amqp:not-implemented"
    status = 501


class EntityDisabledError(ConditionError):
    """The status of the queue forbids to send to it or to receive from it."""

    condition = "com.microsoft:entity-disabled"
    status = 403


class QuotaExceededError(ConditionError):
    """The queue holds as many bytes as it may."""

    condition = "amqp:resource-limit-exceeded"
    status = 403


class MessageTooLargeError(ConditionError):
    """A message exceeds the link's maximum."""

    condition = "amqp:link:message-size-exceeded"
    status = 400


class MessageLockLostError(ConditionError):
    """The lock expired, was released with its connection, or the message is settled already."""

    condition = "com.microsoft:message-lock-lost"
    status = 410


class MessageNotFoundError(ConditionError):
    """No deferred or scheduled message has this sequence number."""

    condition = "com.microsoft:message-not-found"
    status = 404


class SessionLockLostError(ConditionError):
    """The session's lock expired or belongs to another receiver."""

    condition = "com.microsoft:session-lock-lost"
    status = 410


class SessionCannotBeLockedError(ConditionError):
    """Another receiver holds the session."""

    condition = "com.microsoft:session-cannot-be-locked"
    status = 409


class AcceptTimeoutError(ConditionError):
    """No session had messages within the time the receiver was willing to wait."""

    condition = "com.microsoft:timeout"
    status = 408


class ServerBusyError(ConditionError):
    """The broker was told to throttle."""

    condition = "com.microsoft:server-busy"
    status = 503
