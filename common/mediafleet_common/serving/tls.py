"""TLS material: a certificate signed by itself, and credentials that follow their files."""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.serving.run import CannotStartError

if TYPE_CHECKING:
    import grpc

_CLOCK_SKEW: Final = timedelta(minutes=5)
_COMMON_NAME_MAX: Final = 64


def self_signed(
    hosts: Sequence[str], days: int = 365, clock: Clock = SYSTEM
) -> tuple[bytes, bytes]:
    """Key and certificate (PEM) for host names and IP addresses, valid from five minutes ago."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:_COMMON_NAME_MAX])])
    now = datetime.fromtimestamp(clock.unix(), UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([_san(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificate.public_bytes(Encoding.PEM),
    )


def _san(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def server_context(key: bytes, certificate: bytes, *, pages: bool = False) -> ssl.SSLContext:
    """For a server that speaks HTTP/2 by a key and certificate (PEM); for `pages` HTTP/1.1 too,
    to those who do not speak the former."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    context.set_alpn_protocols(["h2", "http/1.1"] if pages else ["h2"])
    # The ssl module reads files alone; this one only its owner may read, and it is gone at once.
    with tempfile.NamedTemporaryFile() as file:
        file.write(key + certificate)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def self_signed_context(
    hosts: Sequence[str], *, pages: bool = False
) -> Callable[[], ssl.SSLContext]:
    """A certificate made on the spot, for `UnaryPort`."""
    context = server_context(*self_signed(hosts), pages=pages)
    return lambda: context


@dataclass(slots=True)
class FilePair:
    """A certificate and its key in two files, which may be replaced while we run.

    Raises:
        CannotStartError: on `load`, when they cannot be read or do not belong together.
    """

    certificate: Path
    key: Path
    on_error: Callable[[str], None]
    """Told when a replacement cannot be used; the pair in force stays."""
    client_ca: Path | None = None
    """Certificates (PEM) of who signs those of clients; with it a client without one is refused."""
    _stamp: tuple[int, ...] = ()

    def load(self) -> grpc.ServerCredentials:
        """gRPC server credentials; later handshakes use what the files hold by then."""
        import grpc

        return grpc.dynamic_ssl_server_credentials(
            self._read(), self._newer, self.client_ca is not None
        )

    @property
    def _paths(self) -> tuple[Path, ...]:
        return (self.certificate, self.key, *([self.client_ca] if self.client_ca else ()))

    def _stamps(self) -> tuple[int, ...]:
        return tuple(path.stat().st_mtime_ns for path in self._paths)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        import grpc

        try:
            stamp = self._stamps()
            certificate, key, *roots = (path.read_bytes() for path in self._paths)
        except OSError as error:
            raise CannotStartError(f"cannot read the TLS pair: {error}") from error
        check_pair(certificate, key)
        for each in roots:
            check_certificates(each)
        self._stamp = stamp
        return grpc.ssl_server_certificate_configuration(
            [(key, certificate)], roots[0] if roots else None
        )

    def contexts(self, *, pages: bool = False) -> Callable[[], ssl.SSLContext]:
        """What the next connection of a server of our own uses: what the files hold by then."""
        context = server_context(*self._pair(), pages=pages)

        def newest() -> ssl.SSLContext:
            nonlocal context
            try:
                if self._stamps() != self._stamp:
                    context = server_context(*self._pair(), pages=pages)
            except (OSError, CannotStartError) as error:
                self.on_error(str(error))
            return context

        return newest

    def _pair(self) -> tuple[bytes, bytes]:
        """Key and certificate, which belong together; tried once for each state of the files."""
        try:
            self._stamp = self._stamps()
            certificate, key = self.certificate.read_bytes(), self.key.read_bytes()
        except OSError as error:
            raise CannotStartError(f"cannot read the TLS pair: {error}") from error
        check_pair(certificate, key)
        return key, certificate

    def _newer(self) -> grpc.ServerCertificateConfiguration | None:
        try:
            return None if self._stamps() == self._stamp else self._read()
        except (OSError, CannotStartError) as error:
            self.on_error(str(error))
            return None


def check_certificates(pem: bytes) -> None:
    """Refuse what holds no certificates (PEM).

    Raises:
        CannotStartError: with the reason; gRPC itself would fail each handshake without a word.
    """
    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CannotStartError(f"the CA of the clients is not PEM: {error}") from error


def check_pair(certificate: bytes, key: bytes) -> None:
    """Refuse a certificate and key (PEM) that do not belong together.

    Raises:
        CannotStartError: with the reason; gRPC itself would fail each handshake without a word.
    """
    try:
        private = load_pem_private_key(key, None)
        public = x509.load_pem_x509_certificate(certificate).public_key()
    except (ValueError, TypeError) as error:
        raise CannotStartError(f"the TLS pair is not PEM: {error}") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != public.public_bytes(*form):
        raise CannotStartError("the TLS key does not belong to the TLS certificate")
