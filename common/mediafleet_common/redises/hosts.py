"""Which hosts may be told the password of a Redis: those that its administrator declares. Pure.

Whoever creates a fleet writes addresses, and sentinels and clusters announce more of them; none of
these earns a password by standing beside a host that has one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.formats.hosts import unbracketed, with_port
from mediafleet_common.formats.ip_addresses import IpNetwork

DEFAULT_PORT: Final = 6379
_NAME: Final = re.compile(r"[a-z0-9_-][a-z0-9._-]*")
"""A name of a host as resolvers take it. Some read an address before a space, so no spaces."""


class BadHostError(ValueError):
    """A declared host that makes no sense; the text says what to write."""


@dataclass(frozen=True, slots=True)
class RedisHosts:
    """What is declared of one Redis."""

    addresses: frozenset[tuple[str, int]] = frozenset()
    suffixes: tuple[str, ...] = ()
    """Ends of names, each with its leading dot."""
    networks: tuple[IpNetwork, ...] = ()

    def has(self, host: str, port: int) -> bool:
        """Whether a host is one of them; suffixes and networks hold for any port."""
        name = _name(host)
        if (name, port) in self.addresses:
            return True
        try:
            ip = ipaddress.ip_address(name)
        except ValueError:
            return _NAME.fullmatch(name) is not None and name.endswith(self.suffixes)
        return any(ip in network for network in self.networks)


def redis_hosts(declared: Iterable[str]) -> RedisHosts:
    """From texts: `HOST:PORT`, `HOST` (port 6379), `.SUFFIX` and `CIDR`.

    Raises:
        BadHostError: one of them is none of these.
    """
    addresses, suffixes, networks = set(), [], []
    for text in declared:
        if text.startswith("."):
            suffix = text.lower().removesuffix(".")
            if not _NAME.fullmatch(suffix[1:]):
                raise BadHostError(f"{text!r} is no end of a name: write .redis.svc, say")
            suffixes.append(suffix)
        elif "/" in text:
            try:
                networks.append(ipaddress.ip_network(text))
            except ValueError as error:
                raise BadHostError(f"{text!r} is no network: {error}") from None
        else:
            addresses.add(address(text))
    return RedisHosts(frozenset(addresses), tuple(suffixes), tuple(networks))


def refusal(spec: RedisSpec, hosts: RedisHosts, *, demands_tls: bool) -> str | None:
    """Why a Redis that a fleet names gets no password; `None`: it may have it."""
    if demands_tls and not spec.tls:
        return "its password goes over TLS alone: set spec.redis.tls to true"
    for each in written(spec):
        host, port = address(each)
        if not hosts.has(host, port):
            return undeclared(host, port)
    return None


def undeclared(host: str, port: int) -> str:
    """What is said of a host that may not have the password."""
    return (
        f"its password is not for {with_port(host, port)}: declare that host in chart value "
        "egress.redis[].hosts (option --redis-host)"
    )


def written(spec: RedisSpec) -> list[str]:
    """All addresses that a fleet names."""
    if spec.cluster is not None:
        return spec.cluster.addresses
    if spec.sentinel is not None:
        return spec.sentinel.addresses
    return [spec.address or ""]


def address(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT` or `HOST`.

    Raises:
        BadHostError: it is neither.
    """
    if text.startswith("[") and text.endswith("]"):
        return _name(unbracketed(text)), DEFAULT_PORT
    host, colon, port = text.rpartition(":")
    if not colon:
        return _name(text), DEFAULT_PORT
    if not port.isdecimal() or not host:
        raise BadHostError(f"{text!r} is not HOST:PORT")
    return _name(unbracketed(host)), int(port)


def _name(host: str) -> str:
    name = host.lower().removesuffix(".")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name
