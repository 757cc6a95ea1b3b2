"""The URL of an orchestrator node: what may be in a list of nodes, and what not."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from mediafleet_common.formats.hosts import with_port

_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_MAX_CHARACTERS: Final = 300


class BadNodeUrlError(ValueError):
    """A gateway could not use the URL; the text says why."""


@dataclass(frozen=True, slots=True)
class NodeUrl:
    """Where a node listens, in its one spelling. Two URLs with the same parts are one node.

    Hosts are lower case, addresses as ipaddress writes them (127.1 and [0:0:0:0:0:0:0:1] have one
    form each), and the port is always there.
    """

    scheme: str
    """https, or http for nodes behind plain gRPC (tests)."""
    host: str
    port: int

    @property
    def target(self) -> str:
        """`host:port` for a dialler, brackets around an IPv6 address."""
        return with_port(self.host, self.port)

    def __str__(self) -> str:
        """The one form in which it is told; gateways compare URLs as text."""
        return f"{self.scheme}://{self.target}"


@lru_cache(maxsize=8192)
def node_url(url: str) -> NodeUrl | None:
    """The parts of a node's URL, `None` where a gateway could not use it; told from memory, since
    lists are gone through again with each change of one of them."""
    try:
        return parse_node_url(url)
    except BadNodeUrlError:
        return None


def parse_node_url(url: str) -> NodeUrl:
    """The parts of a node's URL.

    Stricter than Go's url.Parse, which gateways use: what they would dial and never reach is
    refused here, where somebody reads the reason.

    Raises:
        BadNodeUrlError: with the reason.
    """
    if len(url) > _MAX_CHARACTERS:
        raise BadNodeUrlError(f"longer than {_MAX_CHARACTERS} characters")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise BadNodeUrlError("it holds characters that a URL has not")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadNodeUrlError(str(error)) from error
    if parts.scheme not in _DEFAULT_PORTS:
        raise BadNodeUrlError("it must begin with https://")
    if not parts.hostname:
        raise BadNodeUrlError("it has no host")
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise BadNodeUrlError("it must be https://host:port and nothing more")
    if port == 0:
        raise BadNodeUrlError("port 0 cannot be dialled")
    ip = _address(parts.hostname)
    host = parts.hostname if ip is None else str(ip)
    return NodeUrl(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme])


def is_local(url: NodeUrl) -> bool:
    """Whether a URL is this machine itself, as far as its host alone tells."""
    return (unreachable(url, allow_private=True) or "") in (_ITSELF, _LOOPBACK)


_ITSELF: Final = "is this machine itself"
_LOOPBACK: Final = "is a loopback address"


def unreachable(url: NodeUrl, *, allow_private: bool) -> str | None:
    """Why gateways elsewhere cannot reach a URL, as far as its host alone tells; `None`: they may.

    Names are not looked up.
    """
    host = url.host.removesuffix(".")
    if host == "localhost" or host.endswith(".localhost"):
        return _ITSELF
    ip = _address(host)
    if ip is None:
        return None
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback:
        return _LOOPBACK
    if ip.is_unspecified:
        return "is the unspecified address"
    if ip.is_link_local or ip.is_multicast:
        return "is a link-local or multicast address"
    if not ip.is_global and not allow_private:
        return "is not a public address"
    return None


_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is, in the short forms, too, that resolvers take for IPv4: 127.1,
    0x7f000001, 0177.0.0.1 and 2130706433 (inet_aton)."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    parts = host.split(".")
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    try:
        *first, last = (_number(part) for part in parts)
        # The last number fills the bytes that the others leave.
        return ipaddress.IPv4Address(bytes(first) + last.to_bytes(4 - len(first), "big"))
    except (ValueError, OverflowError):
        return None


def _number(text: str) -> int:
    if text[:2] in ("0x", "0X"):
        return int(text, 16)
    return int(text, 8 if text[0] == "0" else 10)
