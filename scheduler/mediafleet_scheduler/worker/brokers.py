"""The brokers that a worker registers at: those that are named, or each address of one name."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from mediafleet_common.dial import resolve
from mediafleet_common.formats.hosts import with_port
from mediafleet_common.formats.reach import OWN_WORD
from mediafleet_common.serving.addresses import split_host_port
from mediafleet_common.serving.logs import printable

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """One broker."""

    address: str
    """HOST:PORT that is dialled."""
    name: str
    """Host in its certificate."""

    @property
    def other_name(self) -> str | None:
        """The certificate's host, where another one is dialled."""
        return None if self.name == split_host_port(self.address)[0] else self.name

    @property
    def target(self) -> str:
        """For gRPC, whatever scheme of its own the address looks like (unix:, xds:, vsock:)."""
        return f"dns:///{with_port(*split_host_port(self.address))}"

    def own(self, url: str) -> str | None:
        """An input's URL as this broker is dialled; `None`: it lies elsewhere."""
        parts = urlsplit(url)
        host = split_host_port(self.address)[0].lower()
        if parts.hostname not in {host, self.name.lower()}:
            return None
        return f"https://{self.address}{parts.path}"


class Brokers:
    """Where they are."""

    def __init__(
        self, named: tuple[str, ...], addresses: str | None = None, server_name: str | None = None
    ) -> None:
        """`named`: HOST:PORT each. `addresses`: a name whose every address is a broker with the
        port and certificate of the one that is named."""
        self._named = tuple(Place(each, server_name or split_host_port(each)[0]) for each in named)
        self._addresses = addresses
        self._complaint: str | None = None

    @property
    def change(self) -> bool:
        """Whether there may be others later."""
        return self._addresses is not None

    async def look(self) -> frozenset[Place] | None:
        """Those that there are now; `None`: the name cannot be looked up."""
        if self._addresses is None:
            return frozenset(self._named)
        first = self._named[0]
        port = split_host_port(first.address)[1]
        try:
            found = await resolve(self._addresses, port, OWN_WORD)
        except OSError as error:
            if self._complaint != str(error):
                _log.warning("%s: %s", self._addresses, printable(str(error)))
            self._complaint = str(error)
            return None
        self._complaint = None
        return frozenset(Place(with_port(address, port), first.name) for _, address in found)
