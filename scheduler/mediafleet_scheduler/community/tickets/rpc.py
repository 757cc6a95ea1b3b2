"""Calls of a chain's RPC. Methods: https://ethereum.org/developers/docs/apis/json-rpc.

No text of an error names the URL, or repeats what was answered: both may hold a key.
"""

from __future__ import annotations

import json
from typing import Any, Final

import aiohttp

MOST_BYTES: Final = 64 * 1024 * 1024
TIMEOUT_SECONDS: Final = 20.0
_HTTP_ERROR: Final = 400
_STOP: Final = frozenset({401, 403, 404, 429})
"""No other range helps against these: another key does, or another time."""


class NoTicketsError(Exception):
    """Tickets cannot be had now; the text says why, and names no URL: it may hold a key."""


class TooMuchError(NoTicketsError):
    """The RPC did not answer this call, and may answer a smaller one."""


class Rpc:
    """An RPC of a chain."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def call(self, method: str, *params: Any) -> Any:
        """The result of a call.

        Raises:
            TooMuchError: it was refused, took too long, or would be too large.
            NoTicketsError: the RPC cannot be asked now.
        """
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        try:
            async with self._session.post(
                self._url, json=body, timeout=timeout, allow_redirects=False
            ) as answer:
                content = await _within(answer, method)
        except TimeoutError as error:
            raise TooMuchError(f"{method} took longer than {TIMEOUT_SECONDS:.0f} s") from error
        except aiohttp.ClientError as error:
            raise NoTicketsError(f"the RPC does not answer: {type(error).__name__}") from error
        if answer.status in _STOP:
            raise NoTicketsError(f"{method} is refused by HTTP {answer.status}")
        try:
            said = json.loads(content)
        except ValueError as error:
            status = f", HTTP {answer.status}" if answer.status >= _HTTP_ERROR else ""
            raise TooMuchError(f"{method} is not answered by JSON{status}") from error
        if not isinstance(said, dict) or "result" not in said or "error" in said:
            raise TooMuchError(f"{method} is refused{_code(said)}")
        return said["result"]

    async def block(self, which: str) -> tuple[int, int]:
        """Number and time (Unix seconds) of a block: a number as `0x` and hex, or `latest`.

        Raises:
            NoTicketsError: it is not told.
        """
        said = await self.call("eth_getBlockByNumber", which, False)
        try:
            return int(said["number"], 16), int(said["timestamp"], 16)
        except (TypeError, KeyError, ValueError) as error:
            raise NoTicketsError("the RPC does not tell a block") from error


async def _within(answer: aiohttp.ClientResponse, method: str) -> bytes:
    content = bytearray()
    async for part in answer.content.iter_chunked(65_536):
        content += part
        if len(content) > MOST_BYTES:
            raise TooMuchError(f"{method} answers more than {MOST_BYTES} bytes")
    return bytes(content)


def _code(said: object) -> str:
    error = said.get("error") if isinstance(said, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return f" (code {code})" if isinstance(code, int) else ""
