"""IP addresses: what kind each one is, whatever form it is written in.

Kinds by the IANA registries of special-purpose addresses (RFC 6890); metadata services by their
clouds' documentation.
"""

from __future__ import annotations

import ipaddress
import re
from enum import IntEnum
from typing import Final, TypeAlias

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Kind(IntEnum):
    """Where an address leads; the higher, the less a stranger may name it."""

    PUBLIC = 0
    PRIVATE = 1
    """Private, unique local, shared or not assigned for use on the Internet."""
    LOOPBACK = 2
    UNSPECIFIED = 3
    """Linux dials this machine for it."""
    LINK_LOCAL = 4
    """Or multicast, broadcast, reserved: no worker is there."""
    METADATA = 5
    """A cloud's metadata service, which gives out credentials."""


_METADATA: Final = frozenset(
    map(
        ipaddress.ip_address,
        (
            "169.254.169.254",  # most clouds
            "169.254.170.2",  # Amazon ECS
            "169.254.170.23",  # Amazon EKS
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",  # Google
            "100.100.100.200",  # Alibaba
            "168.63.129.16",  # Azure
            "192.0.0.192",  # Oracle
        ),
    )
)
_IPV6_GLOBAL: Final = ipaddress.ip_network("2000::/3")
_THIS_NETWORK: Final = ipaddress.ip_network("0.0.0.0/8")
_TEREDO: Final = ipaddress.ip_network("2001::/32")
_COMPATIBLE: Final = ipaddress.ip_network("::/96")
_TRANSLATED: Final = ipaddress.ip_network("::ffff:0:0:0/96")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64: Final = ipaddress.ip_network("64:ff9b:1::/48")
_ISATAP: Final = (0x00005EFE, 0x02005EFE)


def kind(address: IpAddress) -> Kind:
    """The kind of an address; one that carries another address is as bad as the worse of both."""
    if isinstance(address, ipaddress.IPv4Address):
        return _kind4(address)
    carried = _carried(address)
    if carried is not None and int(address) > 1:
        inside = max(map(_kind4, carried))
        # The tunnel itself is public only where its end is.
        return inside if _is_translation(address) else max(inside, Kind.PRIVATE)
    return _kind6(address)


def _kind4(address: ipaddress.IPv4Address) -> Kind:
    if address in _METADATA:
        return Kind.METADATA
    if address.is_loopback:
        return Kind.LOOPBACK
    if address in _THIS_NETWORK:
        return Kind.UNSPECIFIED
    if address.is_link_local or address.is_multicast or address.is_reserved:
        return Kind.LINK_LOCAL
    return Kind.PUBLIC if address.is_global else Kind.PRIVATE


def _kind6(address: ipaddress.IPv6Address) -> Kind:
    if address in _METADATA:
        return Kind.METADATA
    if address.is_loopback:
        return Kind.LOOPBACK
    if address.is_unspecified:
        return Kind.UNSPECIFIED
    if address.is_link_local or address.is_multicast or address.scope_id is not None:
        return Kind.LINK_LOCAL
    return Kind.PUBLIC if address in _IPV6_GLOBAL and address.is_global else Kind.PRIVATE


def _is_translation(address: ipaddress.IPv6Address) -> bool:
    """Whether it is just another way to write or to reach an IPv4 address."""
    return address.ipv4_mapped is not None or address in _NAT64 or address in _TRANSLATED


def _carried(address: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...] | None:
    """IPv4 addresses inside an IPv6 one: mapped, compatible, translated (RFC 4291, 6052, 7915),
    6to4 (RFC 3056), Teredo (RFC 4380), ISATAP (RFC 5214)."""
    last = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address in _TEREDO:
        # Server in the clear, client with its bits flipped.
        return (
            ipaddress.IPv4Address(int(address) >> 64 & 0xFFFFFFFF),
            ipaddress.IPv4Address(int(last) ^ 0xFFFFFFFF),
        )
    if address.sixtofour is not None:
        return (address.sixtofour,)
    tunnels = (_COMPATIBLE, _TRANSLATED, _NAT64, _LOCAL_NAT64)
    if any(address in each for each in tunnels):
        return (last,)
    return (last,) if int(address) >> 32 & 0xFFFFFFFF in _ISATAP else None


_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")


def parse(host: str) -> IpAddress | None:
    """The address that a host is, in the short forms, too, that resolvers take for IPv4: 127.1,
    0x7f000001, 0177.0.0.1 and 2130706433 (inet_aton); `None`: it is a name."""
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


def is_network(text: str) -> bool:
    """Whether a text is an address, or a network without bits beyond its length; as the API server
    judges them (isIP, isCIDR), so without zone, netmask or an IPv4 address in an IPv6 one."""
    _, slash, length = text.partition("/")
    if slash and not (length.isascii() and length.isdigit() and str(int(length)) == length):
        return False
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return False
    if isinstance(network, ipaddress.IPv4Network):
        return True
    first = network.network_address
    return first.scope_id is None and first.ipv4_mapped is None
