"""Who may read a process's reports over HTTP: what it says of work, as against its health.

Without any setting, only what runs on the same machine: loopback. With a file, who has its content
as bearer token. In a cluster, named ServiceAccounts (`mediafleet_common.kube.account_tokens`).
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aiohttp import web

from mediafleet_common.serving.run import CannotStartError
from mediafleet_common.serving.small_files import MAX_SECRET_BYTES, read_small_text


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered."""

    status: int
    why: str


class Access(Protocol):
    """Decides on requests."""

    def refusal(self, request: web.Request) -> Refusal | None:
        """Why a request is refused; `None`: it is answered."""

    async def run(self) -> None:
        """Keep what decisions need, until cancelled."""


class LoopbackOnly:
    """Answers this machine alone, and no web page that a browser on it shows."""

    def refusal(self, request: web.Request) -> Refusal | None:
        """As Access."""
        host = request.host.rpartition(":")[0] if request.host[-1:] != "]" else request.host
        named = (host or request.host).strip("[]")
        if _is_loopback(request.remote or "") and (named == "localhost" or _is_loopback(named)):
            return None
        return Refusal(403, "only for loopback: start with --http-token-file FILE to open it")

    async def run(self) -> None:
        """There is nothing to keep."""


class TokenFile:
    """Answers who has the content of a file, which may be replaced.

    Raises:
        CannotStartError: when made, if the file cannot be used.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            wanted = self._wanted()
        except OSError as error:
            why = error.strerror or str(error)
            raise CannotStartError(f"--http-token-file {file}: {why}") from error
        if not wanted:
            raise CannotStartError(f"--http-token-file {file}: it is empty")

    def refusal(self, request: web.Request) -> Refusal | None:
        """As Access."""
        try:
            wanted = self._wanted()
        except OSError:
            wanted = ""
        if not wanted:
            return Refusal(503, "the token file cannot be read")
        given = bearer(request)
        if given and hmac.compare_digest(given.encode(), wanted.encode()):
            return None
        return Refusal(401, "give the bearer token of --http-token-file")

    async def run(self) -> None:
        """There is nothing to keep."""

    def _wanted(self) -> str:
        return read_small_text(self._file, MAX_SECRET_BYTES).strip()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Answers who one of several answers."""

    parts: Sequence[Access]

    def refusal(self, request: web.Request) -> Refusal | None:
        """The refusal of the last."""
        refused = None
        for part in self.parts:
            refused = part.refusal(request)
            if refused is None:
                return None
        return refused

    async def run(self) -> None:
        """Keep what each needs."""
        async with asyncio.TaskGroup() as tasks:
            for part in self.parts:
                tasks.create_task(part.run())


def bearer(request: web.Request) -> str | None:
    """The bearer token of a request."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if kind.lower() == "bearer" else None


def guarded(route: web.RouteDef, access: Access) -> web.RouteDef:
    """The route, answered only to those whom `access` lets in."""

    async def answer(request: web.Request) -> web.StreamResponse:
        refused = access.refusal(request)
        if refused is None:
            response: web.StreamResponse = await route.handler(request)
            return response
        headers = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else {}
        return web.Response(status=refused.status, text=refused.why, headers=headers)

    return web.RouteDef(route.method, route.path, answer, route.kwargs)


def _is_loopback(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback
