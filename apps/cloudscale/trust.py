"""Whose signature a client accepts on a backend's certificate.

The public authorities always count: OpenSSL's and certifi's, or what ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` name
instead. An authority of the backends' own counts beside them, and only for the backends that it came with. A namespace
keeps it when its pipelines move to Azure, where nobody must have to trust it.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from functools import lru_cache
from pathlib import Path

import certifi

from cloudscale.errors import ConfigurationError

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_IN_CLUSTER = re.compile(rf"localhost|servicebus(\.{_LABEL})?|{_LABEL}(\.{_LABEL})+\.svc(\.cluster\.local)?")

_REPLACEMENTS = ("SSL_CERT_FILE", "SSL_CERT_DIR")

CONTEXTS = 16
"""Kept at the most. Reading the public authorities takes some 20 ms, and many pipelines share an authority."""


def is_own_backend(host: str) -> bool:
    """Whether the backends that bring an authority of their own can be at ``host``.

    These are the names in the certificates of the backends' chart and of the local emulators: ``servicebus``,
    ``servicebus.NAMESPACE``, ``localhost``, an address of the loopback interface, and any Service of the cluster as
    ``NAME.NAMESPACE.svc`` or ``NAME.NAMESPACE.svc.cluster.local``. No public name ends like that.
    """
    if _IN_CLUSTER.fullmatch(host.lower()):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def client_context(host: str, *, authority_file: str) -> ssl.SSLContext:
    """The TLS context of a client of ``host``, shared by all that ask for the same.

    It trusts the public authorities, and what the PEM file ``authority_file`` holds if :func:`is_own_backend`. An empty
    name stands for no such file.

    Raises:
        ConfigurationError: a file cannot be read or holds no certificate.
    """
    replacements = tuple(os.environ.get(name, "") for name in _REPLACEMENTS)
    if not authority_file or not is_own_backend(host):
        return _context("", 0, replacements)
    try:
        changed_ns = Path(authority_file).stat().st_mtime_ns
    except OSError as error:
        raise _unusable(authority_file, error) from error
    return _context(authority_file, changed_ns, replacements)


@lru_cache(maxsize=CONTEXTS)
def _context(authority_file: str, _changed_ns: int, replacements: tuple[str, ...]) -> ssl.SSLContext:
    # OpenSSL reads the variables by itself; they are arguments so that a change of theirs makes another context.
    context = ssl.create_default_context()
    if not any(replacements):
        # A system without a package of authorities has nothing where OpenSSL looks.
        context.load_verify_locations(certifi.where())
    if authority_file:
        try:
            context.load_verify_locations(authority_file)
        except OSError as error:
            raise _unusable(authority_file, error) from error
    return context


def _unusable(authority_file: str, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"the certificate authority {authority_file} cannot be used: {error}; "
        "CLOUDSCALE_CERTIFICATE_AUTHORITY_FILE must name a file of PEM certificates"
    )
