"""The certificate that a server shows its clients: a folder with ``tls.crt`` and ``tls.key``, as cert-manager has it.

Server processes read it from a copy. Whoever renews a certificate replaces two files, and a process that starts between
the two would find a certificate and the key of another; and what a kubelet replaces is gone at once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import tempfile
import weakref
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from cloudscale.errors import ConfigurationError
from cloudscale.private_files import write_private

CERTIFICATE_FILE = "tls.crt"
KEY_FILE = "tls.key"


@dataclass(frozen=True)
class Certificate:
    """A certificate chain and its key, which belong together and hold now."""

    certificate: Path
    key: Path
    digest: str
    expires: datetime


class CertificateFolder:
    """A folder in which a certificate is renewed from time to time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._copies = Path(tempfile.mkdtemp(prefix="cloudscale-tls-"))
        weakref.finalize(self, _remove, self._copies, os.getpid())

    def digest(self) -> str:
        """Changes with the files; empty while they cannot be read."""
        try:
            return _digest(*self._contents())
        except OSError:
            return ""

    def read(self) -> Certificate:
        """A copy of what is there now.

        Raises:
            ConfigurationError: a file is missing, holds no certificate or key, the two do not belong together, or the
                certificate does not hold at this time.
        """
        try:
            chain, key = self._contents()
        except OSError as error:
            raise ConfigurationError(
                f"the certificate in {self._folder} cannot be read: {error.strerror} ({error.filename}); "
                f"the folder needs {CERTIFICATE_FILE} and {KEY_FILE}, as a Secret of type kubernetes.io/tls has them"
            ) from error
        begins, expires = self._period(chain)
        now = datetime.now(UTC)
        if now >= expires:
            raise ConfigurationError(f"the certificate in {self._folder} has expired at {expires:%FT%TZ}: renew it")
        if now < begins:
            raise ConfigurationError(
                f"the certificate in {self._folder} holds from {begins:%FT%TZ} on: check the clock, or who issued it"
            )
        digest = _digest(chain, key)
        copy = self._copies / digest
        copy.mkdir(mode=0o700, exist_ok=True)
        write_private(copy / CERTIFICATE_FILE, chain)
        write_private(copy / KEY_FILE, key)
        found = Certificate(copy / CERTIFICATE_FILE, copy / KEY_FILE, digest, expires)
        try:
            # A key that needs a password is refused, where otherwise somebody would be asked for it.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(found.certificate, found.key, password="")
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"the certificate in {self._folder} cannot be used: {error}; {KEY_FILE} must be the key of "
                f"{CERTIFICATE_FILE}, in PEM and without a password"
            ) from error
        return found

    def _contents(self) -> tuple[bytes, bytes]:
        return (self._folder / CERTIFICATE_FILE).read_bytes(), (self._folder / KEY_FILE).read_bytes()

    def _period(self, chain: bytes) -> tuple[datetime, datetime]:
        try:
            first = x509.load_pem_x509_certificates(chain)[0]
        except ValueError as error:
            raise ConfigurationError(
                f"{CERTIFICATE_FILE} in {self._folder} holds no certificate in PEM: {error}"
            ) from error
        return first.not_valid_before_utc, first.not_valid_after_utc


def _remove(copies: Path, owner: int) -> None:
    # A forked process has this object too, and must not take the files away from the others.
    if os.getpid() == owner:
        shutil.rmtree(copies, ignore_errors=True)


def _digest(*contents: bytes) -> str:
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]
