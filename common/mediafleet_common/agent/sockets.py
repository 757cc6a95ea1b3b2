"""TCP sockets of a network namespace, as Linux lists them in /proc/net/tcp and tcp6. Pure.

Format: Linux Documentation/networking/proc_net_tcp.rst; states: include/net/tcp_states.h. The
containers of a pod share one network namespace, so an agent beside a node sees the node's sockets.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
_ESTABLISHED: Final = 0x01
_LISTEN: Final = 0x0A


class UnreadableSocketsError(ValueError):
    """The text is not a table of sockets."""


@dataclass(frozen=True, slots=True)
class Socket:
    """One TCP socket; IPv4 in IPv6 is IPv4."""

    local: Ip
    port: int
    remote: Ip
    state: int


def parse(text: str) -> tuple[Socket, ...]:
    """The sockets of one table.

    Raises:
        UnreadableSocketsError: it is none.
    """
    try:
        return tuple(_sockets(text.splitlines()[1:]))
    except (ValueError, IndexError) as error:
        raise UnreadableSocketsError(str(error)) from error


def connections(sockets: Iterable[Socket], port: int, without: Collection[Ip] = ()) -> int:
    """Established connections to a port of ours, those from some addresses and our own left out."""
    return sum(
        each.state == _ESTABLISHED
        and each.port == port
        and not each.remote.is_loopback
        # The agent's own to the pod's address, or the node's to itself.
        and each.remote != each.local
        and each.remote not in without
        for each in sockets
    )


def listens(sockets: Iterable[Socket], port: int) -> bool:
    """Whether a port listens."""
    return any(each.state == _LISTEN and each.port == port for each in sockets)


def exposed(sockets: Iterable[Socket], port: int) -> bool:
    """Whether a port listens on more than loopback."""
    return any(
        each.state == _LISTEN and each.port == port and not each.local.is_loopback
        for each in sockets
    )


def plain(ip: Ip) -> Ip:
    """IPv4 in IPv6 as IPv4."""
    return getattr(ip, "ipv4_mapped", None) or ip


def _sockets(lines: Iterable[str]) -> Iterator[Socket]:
    for line in lines:
        _, local, remote, state = line.split()[:4]
        address, port = local.split(":")
        yield Socket(_ip(address), int(port, 16), _ip(remote.split(":")[0]), int(state, 16))


def _ip(digits: str) -> Ip:
    """Words of 32 bits, each in the byte order of the machine."""
    raw = bytes.fromhex(digits)
    if len(raw) not in (4, 16):
        raise ValueError(f"{digits} is no address")
    if sys.byteorder == "little":
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    return plain(ipaddress.ip_address(raw))
