"""Winning tickets of the last day: from a file, or asked of an RPC of the chain.

Methods: https://ethereum.org/developers/docs/apis/json-rpc, eth_getBlockByNumber and eth_getLogs.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.reach import OWN_WORD
from mediafleet_common.probes.http_client import client
from mediafleet_common.serving.small_files import read_small
from mediafleet_scheduler.core.community.checks.tickets import (
    TOPIC,
    NotTicketsError,
    Ticket,
    tickets_of,
)

_DAY_SECONDS: Final = 86_400.0
_TIMEOUT_SECONDS: Final = 60.0
MOST_BYTES: Final = 64 * 1024 * 1024


class NoTicketsError(Exception):
    """Tickets cannot be had now; the text says why, and names no URL: it may hold a key."""


@dataclass(frozen=True, slots=True)
class Winning:
    """Where winning tickets are told."""

    place: str
    """A file with what eth_getLogs answered for the last day, or the URL of an RPC."""
    broker: str | None = None
    """Contract TicketBroker, where an RPC is asked."""
    clock: Clock = SYSTEM

    @property
    def is_rpc(self) -> bool:
        """Whether tickets are asked for."""
        return self.place.startswith(("http://", "https://"))

    async def tickets(self) -> list[Ticket]:
        """Those that were redeemed in the last day, of all recipients.

        Raises:
            NoTicketsError: they cannot be read, or are none.
        """
        try:
            if self.is_rpc:
                async with client(reach=OWN_WORD) as session:
                    return tickets_of(await self._asked(session))
            body = await asyncio.to_thread(read_small, Path(self.place), MOST_BYTES)
            said: Any = json.loads(body)
            return tickets_of(said["result"] if isinstance(said, dict) else said)
        except aiohttp.ClientError as error:
            raise NoTicketsError(f"the RPC does not answer: {type(error).__name__}") from error
        except OSError as error:
            raise NoTicketsError(error.strerror or type(error).__name__) from error
        except (ValueError, KeyError, TypeError, NotTicketsError) as error:
            raise NoTicketsError(f"no list of tickets: {error}") from error

    async def _asked(self, session: aiohttp.ClientSession) -> Any:
        since = self.clock.unix() - _DAY_SECONDS
        query = {
            "address": self.broker,
            "topics": [TOPIC],
            "fromBlock": hex(await self._first_block(session, since)),
            "toBlock": "latest",
        }
        return await self._call(session, "eth_getLogs", query)

    async def _first_block(self, session: aiohttp.ClientSession, since: float) -> int:
        """The first block at or after a time, by halves."""
        low, (high, at) = 0, await self._block(session, "latest")
        if at < since:
            return high
        while low < high:
            middle = (low + high) // 2
            _, at = await self._block(session, hex(middle))
            low, high = (low, middle) if at >= since else (middle + 1, high)
        return low

    async def _block(self, session: aiohttp.ClientSession, which: str) -> tuple[int, int]:
        """Number and time of a block."""
        said = await self._call(session, "eth_getBlockByNumber", which, False)
        return int(said["number"], 16), int(said["timestamp"], 16)

    async def _call(self, session: aiohttp.ClientSession, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
        async with session.post(
            self.place, json=body, timeout=timeout, allow_redirects=False
        ) as answer:
            content = bytearray()
            async for part in answer.content.iter_chunked(65_536):
                content += part
                if len(content) > MOST_BYTES:
                    raise ValueError(f"{method} answers more than {MOST_BYTES} bytes")
        said: Any = json.loads(content)
        if "result" not in said:
            raise ValueError(f"{method} is refused")
        return said["result"]
