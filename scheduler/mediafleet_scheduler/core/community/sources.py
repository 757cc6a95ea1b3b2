"""Who a source of demand is, and the name it has for one day. Pure.

A source is a gateway whose address on chain is verified, else the network that it calls from: /24
of IPv4, /48 of IPv6. Its address is not kept: what is kept is a keyed hash of it, and the key is
thrown away with the day.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from mediafleet_common.formats.ip_addresses import IpNetwork

IPV4_PREFIX: Final = 24
IPV6_PREFIX: Final = 48
KEY_BYTES: Final = 32
_NAME_BYTES: Final = 16


def source_of(
    gateway: str | None, peer: str | None, own_networks: Sequence[IpNetwork] = ()
) -> str | None:
    """What distinguishes a source from others; `None`: unknown.

    Args:
        gateway: verified address on chain, `0x` and 40 hex digits, if there is one.
        peer: IP address that the call came from. One that is not global was rewritten on its way
            (a Service, a proxy), and names nobody.
        own_networks: the operator's; an address there was rewritten too.
    """
    if gateway is not None:
        return gateway.lower()
    try:
        address = ip_address(peer or "")
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if not address.is_global or any(address in each for each in own_networks):
        return None
    prefix = IPV4_PREFIX if address.version == 4 else IPV6_PREFIX
    return str(ip_network((address, prefix), strict=False))


def pseudonym(key: bytes, source: str) -> str:
    """The name of a source under a day's key: hex, the same in each replica that has the key.

    Raises:
        ValueError: the key is too short to hide anything; `KEY_BYTES` are needed.
    """
    if len(key) < KEY_BYTES:
        raise ValueError(f"the day's key has {len(key)} bytes; at least {KEY_BYTES} are needed")
    return hmac.new(key, source.encode(), hashlib.sha256).hexdigest()[: 2 * _NAME_BYTES]
