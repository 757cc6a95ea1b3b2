"""Which addresses may be dialled, by who names them. Pure; `dial` carries it out.

Metadata services and link-local addresses are refused to everybody.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mediafleet_common.formats import ip_addresses
from mediafleet_common.formats.ip_addresses import IpNetwork, Kind

_WORDS: Final = {
    Kind.PRIVATE: "is no public address",
    Kind.LOOPBACK: "is a loopback address",
    Kind.UNSPECIFIED: "is the unspecified address",
    Kind.LINK_LOCAL: "is a link-local, multicast or reserved address",
    Kind.METADATA: "is a metadata service of a cloud",
}


@dataclass(frozen=True, slots=True)
class Reach:
    """What somebody may have us dial; public addresses in any case."""

    loopback: bool = False
    private: bool = False
    networks: tuple[IpNetwork, ...] = ()
    """Private networks that the administrator allows."""
    services_of: str | None = None
    """Namespace whose Services may be named: NAME.NAMESPACE.svc, also with .cluster.local."""

    def refusal(self, address: str, name: str = "") -> str | None:
        """Why an address may not be dialled, which `name` resolved to; `None`: it may.

        What is no address is refused.
        """
        parsed = ip_addresses.parse(address)
        if parsed is None:
            return f"{address} is no IP address"
        kind = ip_addresses.kind(parsed)
        if kind is Kind.PUBLIC:
            return None
        if kind is Kind.PRIVATE and (
            self.private
            or self._is_service(name)
            or any(parsed in network for network in self.networks)
        ):
            return None
        if kind in (Kind.LOOPBACK, Kind.UNSPECIFIED) and self.loopback:
            return None
        fix = "; the administrator may allow its network" if kind is Kind.PRIVATE else ""
        return f"{address} {_WORDS[kind]}, and may not be dialled{fix}"

    def _is_service(self, name: str) -> bool:
        name = name.lower().removesuffix(".").removesuffix(".cluster.local")
        return self.services_of is not None and name.endswith(f".{self.services_of}.svc")


def networks(texts: Iterable[str]) -> tuple[IpNetwork, ...]:
    """Networks as an administrator writes them, for example 10.0.0.0/8.

    Raises:
        ValueError: one of them is none; the text says which.
    """
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise ValueError(f"{text} is no network such as 10.0.0.0/8: {error}") from error
    return tuple(found)


PUBLIC: Final = Reach()
"""For what a stranger names."""
PODS: Final = Reach(private=True)
"""For addresses that Kubernetes or the operator tells of our own pods."""
OWN_WORD: Final = Reach(loopback=True, private=True)
"""For what the user of this machine names, in a file of theirs or on a command line."""
