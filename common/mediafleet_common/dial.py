"""Dialling out: a name is resolved, each of its addresses is judged, and only those are dialled.

A name is resolved again for each connection, so that it cannot change between the two.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from mediafleet_common.formats import ip_addresses
from mediafleet_common.formats.reach import Reach

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

_SCHEMES: Final = frozenset({"http", "https"})


class RefusedError(OSError):
    """An address may not be dialled; the text says why and is fit to print."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.strerror = why


async def resolve(host: str, port: int, reach: Reach, family: int = 0) -> list[tuple[int, str]]:
    """The addresses of a host that may be dialled, each with its family; at least one.

    Raises:
        RefusedError: none of them may.
        OSError: the name is unknown.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    # With the scope of a link-local one in it, which is refused.
    each = dict.fromkeys((kind, str(where[0])) for kind, _, _, _, where in found)
    judged = [(kind, address, reach.refusal(address, host)) for kind, address in each]
    allowed = [(int(kind), address) for kind, address, why in judged if why is None]
    if not allowed:
        raise RefusedError(next((why for _, _, why in judged if why), "no address"))
    return allowed


class _Resolver(AbstractResolver):
    """aiohttp's, by `resolve`."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AddressFamily(kind),
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, address in await resolve(host, port, self._reach, family)
        ]

    async def close(self) -> None:
        """Nothing is open."""


class Connector(aiohttp.TCPConnector):
    """Connections of an HTTP client to judged addresses alone, those of redirects included."""

    def __init__(self, reach: Reach, **options: Any) -> None:
        super().__init__(
            resolver=_Resolver(reach), use_dns_cache=False, family=socket.AF_UNSPEC, **options
        )
        self._reach = reach

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> Connection:
        """One connection for a request; an address in its URL is not resolved, so judged here."""
        host = req.url.host or ""
        if req.url.scheme not in _SCHEMES:
            raise RefusedError(f"{req.url.scheme} is no scheme that is dialled")
        if ip_addresses.parse(host) is not None and (why := self._reach.refusal(host)):
            raise RefusedError(why)
        return await super().connect(req, traces, timeout)
