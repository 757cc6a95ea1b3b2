"""The URL of an orchestrator node: what may be in a list of nodes, and what not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from mediafleet_common.formats import ip_addresses
from mediafleet_common.formats.hosts import with_port
from mediafleet_common.formats.ip_addresses import Kind

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
    ip = ip_addresses.parse(parts.hostname)
    host = parts.hostname if ip is None else str(ip)
    return NodeUrl(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme])


def is_local(url: NodeUrl) -> bool:
    """Whether a URL is this machine itself, as far as its host alone tells."""
    return (unreachable(url, allow_private=True) or "") in (_ITSELF, _LOOPBACK)


_ITSELF: Final = "is this machine itself"
_LOOPBACK: Final = "is a loopback address"
_UNREACHABLE: Final = {
    Kind.LOOPBACK: _LOOPBACK,
    Kind.UNSPECIFIED: "is the unspecified address",
    Kind.LINK_LOCAL: "is a link-local or multicast address",
    Kind.METADATA: "is a metadata service of a cloud",
}


def unreachable(url: NodeUrl, *, allow_private: bool) -> str | None:
    """Why gateways elsewhere cannot reach a URL, as far as its host alone tells; `None`: they may.

    Names are not looked up.
    """
    host = url.host.removesuffix(".")
    if host == "localhost" or host.endswith(".localhost"):
        return _ITSELF
    ip = ip_addresses.parse(host)
    kind = Kind.PUBLIC if ip is None else ip_addresses.kind(ip)
    if kind is Kind.PRIVATE:
        return None if allow_private else "is not a public address"
    return _UNREACHABLE.get(kind)
