"""Who may see and do what: tokens from a file.

Without a token file everybody who reaches the dashboard may read and nobody may act. With one, reading needs a token
and acting needs one that says so. A token may be bound to tenants; it then sees nothing of the others.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Annotated

import msgspec
import structlog
import yaml

from cloudscale.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

log = structlog.get_logger(__name__)

MINIMUM_TOKEN_LENGTH = 16
CHECK_SECONDS = 5.0
LARGEST_FILE_BYTES = 256 * 1024


class Viewer(msgspec.Struct, frozen=True, rename="camel"):
    """Somebody who looks at the dashboard. ``tenants`` is None for all."""

    name: str
    tenants: frozenset[str] | None = None
    may_act: bool = False
    may_manage: bool = False

    def sees(self, tenant_id: object) -> bool:
        """Whether this viewer may see what belongs to ``tenant_id``.

        A viewer of some tenants does not see what belongs to nobody, or what has no text for a tenant, as a dead letter
        may.
        """
        return self.tenants is None or (isinstance(tenant_id, str) and tenant_id in self.tenants)


ANYBODY = Viewer("anybody")


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    token: Annotated[str, msgspec.Meta(min_length=MINIMUM_TOKEN_LENGTH)]
    name: Annotated[str, msgspec.Meta(min_length=1)]
    tenants: Annotated[list[str], msgspec.Meta(min_length=1)] | None = None
    act: bool = False
    manage: bool = False


class Access:
    """The tokens of one dashboard. ``required`` says whether reading needs one."""

    def __init__(self, viewers: dict[str, Viewer]) -> None:
        self.required = bool(viewers)
        self._viewers = {_digest(token): viewer for token, viewer in viewers.items()}

    def viewer_of_token(self, token: str) -> Viewer | None:
        """Whose token this is. All tokens are compared in constant time, so that timing tells nothing."""
        given = _digest(token)
        found = None
        for digest, viewer in self._viewers.items():
            if hmac.compare_digest(digest, given):
                found = viewer
        return found

    def viewer_of_digest(self, digest: str) -> Viewer | None:
        """Whose token has this digest, as :func:`digest_of` gives it; None when the token was withdrawn."""
        return next((viewer for known, viewer in self._viewers.items() if known.hex() == digest), None)


class TokenFile:
    """The tokens as the file has them now: one that changes holds without a restart, as a mounted Secret does.

    Args:
        path: the file; None for a dashboard that is open to read.
        check_seconds: shortest time between two checks of the file.

    Raises:
        ConfigurationError: when it is made, the file cannot be read or used.
    """

    def __init__(self, path: Path | None, *, check_seconds: float = CHECK_SECONDS) -> None:
        self._path = path
        self._check_seconds = check_seconds
        self._access = read_access(path)
        self._checked_at = time.monotonic()
        self._changed_at = _changed_at(path)

    def current(self) -> Access:
        """Who may see and do what. A changed file that cannot be used leaves the former tokens in force."""
        if self._path is None or time.monotonic() - self._checked_at < self._check_seconds:
            return self._access
        self._checked_at = time.monotonic()
        changed_at = _changed_at(self._path)
        if changed_at != self._changed_at:
            self._changed_at = changed_at
            try:
                self._access = read_access(self._path)
            except ConfigurationError as error:
                log.warning("the former access tokens stay in force", error=str(error))
        return self._access


def _changed_at(path: Path | None) -> float | None:
    """When the file was written; a Secret's update replaces a symbolic link, whose target is what counts."""
    if path is None:
        return None
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def read_access(path: Path | None) -> Access:
    """Read the token file.

    It holds a YAML or JSON list of ``{token, name, tenants?, act?, manage?}``, or nothing but one token, which may do
    everything. None is a dashboard that is open to read.

    Raises:
        ConfigurationError: the file cannot be read or used. The message never quotes it.
    """
    if path is None:
        return Access({})
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_FILE_BYTES + 1)
        if len(text) > LARGEST_FILE_BYTES:
            raise ConfigurationError(
                f"the dashboard's token file {path} has more than {LARGEST_FILE_BYTES:,} bytes: "
                "it should hold nothing but tokens"
            )
        content = yaml.safe_load(text.decode("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"the dashboard's token file {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise ConfigurationError(f"the dashboard's token file {path} is not valid YAML") from None
    if isinstance(content, str):
        content = [{"token": content, "name": "owner", "act": True, "manage": True}]
    try:
        entries = msgspec.convert(content, Annotated[list[_Entry], msgspec.Meta(min_length=1)])
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            f"the dashboard's token file {path} is not a list of {{token, name, tenants, act, manage}}: {error}"
        ) from None
    viewers = {
        entry.token: Viewer(
            entry.name,
            frozenset(entry.tenants) if entry.tenants else None,
            may_act=entry.act,
            may_manage=entry.manage,
        )
        for entry in entries
    }
    if len(viewers) != len(entries):
        raise ConfigurationError(f"the dashboard's token file {path} holds the same token twice")
    return Access(viewers)


def digest_of(token: str) -> str:
    """What a session remembers of the token that opened it."""
    return _digest(token).hex()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
