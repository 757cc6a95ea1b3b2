"""The region of a gateway, by its IP address. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from mediafleet_common.api.pool.advertise import GatewayRegion


@dataclass(frozen=True, slots=True)
class Place:
    """The place of an address, by a database."""

    country: str | None = None
    """ISO 3166, two letters."""
    continent: str | None = None


Lookup = Callable[[str], Place | None]


class RegionTable:
    """The regions of a pool, ready to be asked."""

    def __init__(self, regions: Iterable[GatewayRegion]) -> None:
        declared = list(regions)
        networks: list[tuple[IPv4Network | IPv6Network, str]] = [
            (ip_network(cidr), region.name) for region in declared for cidr in region.cidrs
        ]
        # The narrowest first; of the same network the region named first.
        self._networks = sorted(networks, key=lambda each: -each[0].prefixlen)
        self._countries = _first(
            (code, region.name) for region in declared for code in region.countries
        )
        self._continents = _first(
            (code, region.name) for region in declared for code in region.continents
        )

    def region(self, address: str, lookup: Lookup) -> str | None:
        """The region of an IP address; `None`: unknown."""
        where = _parse(address)
        if where is None:
            return None
        for network, name in self._networks:
            if where.version == network.version and where in network:
                return name
        place = lookup(str(where)) if self._countries or self._continents else None
        if place is None:
            return None
        return self._countries.get(place.country or "") or self._continents.get(
            place.continent or ""
        )


def _first(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for code, name in pairs:
        found.setdefault(code, name)
    return found


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A listener on [::] tells IPv4 callers so.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
