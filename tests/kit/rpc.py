"""A stand-in of an RPC of a chain, as strict as providers are.

Held to https://ethereum.org/developers/docs/apis/json-rpc: quantities are hex without leading
zeros, an address has 20 bytes, a range does not end before it begins. Providers cap ranges and
results in words and codes of their own, with HTTP 200 or 400, or answer nothing in time.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from aiohttp.test_utils import TestServer

from mediafleet_common.clock import Clock

BROKER: Final = "0x" + "b0" * 20
KEY: Final = "key-1234"
_QUANTITY: Final = re.compile(r"0x(0|[1-9a-f][0-9a-f]*)")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_TOPIC: Final = re.compile(r"0x[0-9a-f]{64}")


@dataclass
class ChainRpc:
    """A chain with a block each `block_seconds`, and logs in some of them."""

    clock: Clock
    block_seconds: int = 12
    logs: list[dict[str, Any]] = field(default_factory=list)
    most_blocks: int | None = None
    """In one range; `None`: no cap."""
    most_logs: int | None = None
    """In one answer; `None`: no cap."""
    silent_above: int | None = None
    """Blocks of a range above which no answer comes; `None`: all are answered."""
    status: int = 200
    """HTTP status of all answers; from 400 on no JSON comes with it."""
    refuses: bool = False
    calls: int | None = None
    """How many more calls are answered before HTTP 429; `None`: all."""
    asked: list[str] = field(default_factory=list)
    """Methods, in order."""
    ranges: list[tuple[int, int]] = field(default_factory=list)
    """That were answered."""
    refused: int = 0
    """Ranges that were not."""

    @property
    def newest(self) -> int:
        """The number of the newest block."""
        return int(self.clock.unix()) // self.block_seconds

    async def answer(self, request: web.Request) -> web.Response:
        """Any call."""
        call = await request.json()
        assert (call["jsonrpc"], type(call["id"])) == ("2.0", int)
        self.asked.append(call["method"])
        if self.status != 200:
            return web.Response(status=self.status, text=f"<html>{KEY}</html>")
        if self.calls is not None:
            if self.calls <= 0:
                return web.Response(status=429, text=f"{KEY} is over its limit")
            self.calls -= 1
        if self.refuses:
            return self._error(call, -32000, f"{KEY} is over")
        if call["method"] == "eth_getBlockByNumber":
            return self._block(call)
        assert call["method"] == "eth_getLogs", call["method"]
        return await self._logs(call)

    def _block(self, call: dict[str, Any]) -> web.Response:
        which, full = call["params"]
        assert full is False
        number = self.newest if which == "latest" else _quantity(which)
        if number > self.newest:
            return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": None})
        block = {"number": hex(number), "timestamp": hex(number * self.block_seconds)}
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": block})

    async def _logs(self, call: dict[str, Any]) -> web.Response:
        (query,) = call["params"]
        assert query.keys() == {"address", "topics", "fromBlock", "toBlock"}
        assert _ADDRESS.fullmatch(query["address"]), query["address"]
        assert all(each is None or _TOPIC.fullmatch(each) for each in query["topics"])
        first, last = _quantity(query["fromBlock"]), _quantity(query["toBlock"])
        blocks = last - first + 1
        if blocks < 1 or last > self.newest:
            return self._refuse(call, -32602, "invalid block range")
        if self.silent_above is not None and blocks > self.silent_above:
            self.refused += 1
            await asyncio.sleep(3600)
        if self.most_blocks is not None and blocks > self.most_blocks:
            return self._refuse(call, -32602, f"up to a {self.most_blocks} block range", 400)
        found = [
            each
            for each in self.logs
            if first <= int(each["blockNumber"], 16) <= last
            and query["address"].lower() == BROKER
            and all(
                wanted is None or wanted == has.lower()
                for wanted, has in zip(query["topics"], each["topics"], strict=False)
            )
        ]
        if self.most_logs is not None and len(found) > self.most_logs:
            return self._refuse(call, -32005, f"query returned more than {self.most_logs} results")
        self.ranges.append((first, last))
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": found})

    def _refuse(
        self, call: dict[str, Any], code: int, text: str, status: int = 200
    ) -> web.Response:
        self.refused += 1
        return self._error(call, code, text, status)

    def _error(self, call: dict[str, Any], code: int, text: str, status: int = 200) -> web.Response:
        error = {"code": code, "message": text}
        body = {"jsonrpc": "2.0", "id": call["id"], "error": error}
        return web.json_response(body, status=status)


@asynccontextmanager
async def serving(rpc: ChainRpc) -> AsyncIterator[str]:
    """Its URL, which holds a key."""
    app = web.Application()
    app.router.add_post(f"/{KEY}", rpc.answer)
    async with TestServer(app) as server:
        yield str(server.make_url(f"/{KEY}"))


def _quantity(text: str) -> int:
    assert _QUANTITY.fullmatch(text), text
    return int(text, 16)
