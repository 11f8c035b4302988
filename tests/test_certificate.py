"""What a server says of the certificate that it is given."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from tests.servers.certificate import write_certificate

from cloudscale.certificate import CertificateFolder
from cloudscale.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_good_certificate_is_copied_for_its_owner_alone(tmp_path: Path) -> None:
    write_certificate(tmp_path, "one")
    folder = CertificateFolder(tmp_path)
    found = folder.read()
    assert found.certificate.read_bytes() == (tmp_path / "tls.crt").read_bytes()
    assert found.key.read_bytes() == (tmp_path / "tls.key").read_bytes()
    assert stat.S_IMODE(found.key.stat().st_mode) == 0o600
    assert found.expires > datetime.now(UTC)
    (tmp_path / "tls.crt").unlink()
    assert found.certificate.exists()


def test_the_digest_changes_with_the_files(tmp_path: Path) -> None:
    write_certificate(tmp_path, "one")
    folder = CertificateFolder(tmp_path)
    assert folder.digest() == folder.read().digest
    before = folder.digest()
    write_certificate(tmp_path, "two")
    assert folder.digest() not in ("", before)
    (tmp_path / "tls.key").unlink()
    assert folder.digest() == ""


def test_a_folder_without_a_file_is_refused_with_its_name(tmp_path: Path) -> None:
    write_certificate(tmp_path, "one")
    (tmp_path / "tls.key").unlink()
    with pytest.raises(ConfigurationError, match=r"No such file.*tls\.key"):
        CertificateFolder(tmp_path).read()


def test_the_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    write_certificate(tmp_path, "one")
    key = (tmp_path / "tls.key").read_bytes()
    write_certificate(tmp_path, "two")
    (tmp_path / "tls.key").write_bytes(key)
    with pytest.raises(ConfigurationError, match=r"tls\.key must be the key of tls\.crt"):
        CertificateFolder(tmp_path).read()


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    write_certificate(tmp_path, "one")
    key = serialization.load_pem_private_key((tmp_path / "tls.key").read_bytes(), password=None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
    (tmp_path / "tls.key").write_bytes(locked)
    with pytest.raises(ConfigurationError, match="without a password"):
        CertificateFolder(tmp_path).read()


@pytest.mark.parametrize(
    ("begins", "expires", "reason"), [(-2, -1, "has expired at .*: renew it"), (1, 2, "holds from .* on: check")]
)
def test_a_certificate_that_does_not_hold_now_is_refused(
    tmp_path: Path, begins: int, expires: int, reason: str
) -> None:
    write_certificate(tmp_path, "one", begins=timedelta(days=begins), expires=timedelta(days=expires))
    with pytest.raises(ConfigurationError, match=reason):
        CertificateFolder(tmp_path).read()


@pytest.mark.parametrize(
    "text", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_what_is_no_certificate_is_refused(tmp_path: Path, text: bytes) -> None:
    write_certificate(tmp_path, "one")
    (tmp_path / "tls.crt").write_bytes(text)
    with pytest.raises(ConfigurationError, match="holds no certificate"):
        CertificateFolder(tmp_path).read()
