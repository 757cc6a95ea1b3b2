"""What a careful client would say of a node's certificate. Pure.

Gateways do not look (go-livepeer server/rpc.go, tlsConfig), so each of these is a note and no
reason to leave a node out. Being signed by itself is none: every go-livepeer node's is.
"""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address

from cryptography import x509


def note(der: bytes, host: str, unix: float) -> str | None:
    """What is wrong with a certificate for `host` at a Unix time; `None`: nothing."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = _names(certificate)
    except ValueError:
        return "its certificate cannot be parsed"
    now = datetime.fromtimestamp(unix, UTC)
    if now > certificate.not_valid_after_utc:
        return f"its certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if now < certificate.not_valid_before_utc:
        return f"its certificate is valid only from {certificate.not_valid_before_utc:%Y-%m-%d}"
    if not names:
        return "its certificate names no host"
    if not any(_matches(name, host) for name in names):
        return f"its certificate is for {', '.join(names[:3])}"
    return None


def _names(certificate: x509.Certificate) -> list[str]:
    """DNS names and addresses; the common name counts for nothing (RFC 9525)."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    dns = found.get_values_for_type(x509.DNSName)
    return [each for each in (*dns, *map(str, found.get_values_for_type(x509.IPAddress))) if each]


def _matches(name: str, host: str) -> bool:
    try:
        # go-livepeer writes an address as a DNS name (server/cert.go).
        return ip_address(name) == ip_address(host)
    except ValueError:
        pass
    name, host = name.lower(), host.lower().removesuffix(".")
    if name.startswith("*."):
        return host.partition(".")[2] == name[2:]
    return name == host
