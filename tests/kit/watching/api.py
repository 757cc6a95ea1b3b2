"""The API server, asked directly: no client library's cache between it and the watcher."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import yaml

from mediafleet_common.api.names import API_VERSION, PLURALS, Kind

TIMEOUT_SECONDS: Final = 30.0
_MAX_LINE_BYTES: Final = 4 << 20


class ApiRefusedError(Exception):
    """The API server said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """A connection with the rights of a kubeconfig, as an async context manager."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        self._server: str = config["clusters"][0]["cluster"]["server"]
        self._tls = _tls(config)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            self._server,
            # Watches keep theirs: twelve operators beside each other need more than the usual 100.
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
            read_bufsize=_MAX_LINE_BYTES,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def get(self, path: str, **query: str) -> Any:
        """A GET; the parsed answer."""
        return await self._ask("GET", path, query=query)

    async def text(self, path: str, **query: str) -> str:
        """A GET of plain text, such as a log."""
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            self._session.get(path, params=query) as response,
        ):
            await _check(response)
            return await response.text(errors="replace")

    async def patch(self, path: str, body: dict[str, Any]) -> Any:
        """A merge patch."""
        return await self._ask("PATCH", path, body, "application/merge-patch+json")

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """A create."""
        return await self._ask("POST", path, body)

    async def delete(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """A delete, with DeleteOptions."""
        return await self._ask("DELETE", path, body)

    async def scale(self, kind: Kind, namespace: str, name: str, replicas: int) -> None:
        """What `kubectl scale` does."""
        await self.patch(f"{fleet(kind, namespace, name)}/scale", {"spec": {"replicas": replicas}})

    async def watch(self, path: str, **query: str) -> AsyncGenerator[tuple[str, Any], None]:
        """Every object as it is now (as ADDED), then its changes; ends when the server ends it."""
        query = {"watch": "1", "allowWatchBookmarks": "false", **query}
        no_end = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_SECONDS)
        async with self._session.get(path, params=query, timeout=no_end) as response:
            await _check(response)
            try:
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise ApiRefusedError(event["object"].get("code", 0), str(event["object"]))
                    yield event["type"], event["object"]
            finally:
                _cut_off(response)

    async def _ask(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        content_type: str = "application/json",
        query: dict[str, str] | None = None,
    ) -> Any:
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            self._session.request(
                method,
                path,
                params=query,
                data=None if body is None else json.dumps(body),
                headers={"Content-Type": content_type},
            ) as response,
        ):
            await _check(response)
            return await response.json(content_type=None)


def pods(namespace: str) -> str:
    """Path of the pods of a namespace."""
    return f"/api/v1/namespaces/{namespace}/pods"


def fleet(kind: Kind, namespace: str, name: str) -> str:
    """Path of one of our resources."""
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURALS[kind]}/{name}"


def _cut_off(response: aiohttp.ClientResponse) -> None:
    """Close the connection of a stream that is left before its end.

    aiohttp would close it politely, forget it, and leave the socket to the garbage collector when
    the loop ends before the server has said good-bye.
    """
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status >= 400:
        text = await response.text()
        try:
            message = json.loads(text).get("message", text)
        except ValueError:
            message = text
        raise ApiRefusedError(response.status, message)


def _tls(config: dict[str, Any]) -> ssl.SSLContext:
    authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])
    context = ssl.create_default_context(cadata=authority.decode())
    user = config["users"][0]["user"]
    # The standard library reads a client's certificate from files only.
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder) / "crt", Path(folder) / "key"
        certificate.write_bytes(base64.b64decode(user["client-certificate-data"]))
        key.touch(mode=0o600)
        key.write_bytes(base64.b64decode(user["client-key-data"]))
        context.load_cert_chain(certificate, key)
    return context
