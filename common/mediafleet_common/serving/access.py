"""Who may read a process's reports over HTTP: what it says of work, as against its health.

Without any setting, only what runs on the same machine: loopback. With a file, who has its content
as bearer token. In a cluster, named ServiceAccounts (`mediafleet_common.kube.account_tokens`).
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

from aiohttp import web

from mediafleet_common.serving.run import CannotStartError
from mediafleet_common.serving.small_files import MAX_SECRET_BYTES, read_small_text


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered."""

    status: int
    why: str


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a report somebody may read."""

    namespaces: frozenset[str] | None = None
    """What is said of these; `None`: all of it."""

    def sees(self, namespace: str) -> bool:
        """Whether it may be read what is said of a namespace."""
        return self.namespaces is None or namespace in self.namespaces


EVERYTHING: Final = Scope()
_SCOPE: Final = web.RequestKey("mediafleet.scope", Scope)
_NARROWED: Final = "narrowed"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
HandlerT = TypeVar("HandlerT", bound=Handler)


class Access(Protocol):
    """Decides on requests."""

    def admit(self, request: web.Request) -> Refusal | Scope:
        """What the caller may read, or why nothing."""

    async def run(self) -> None:
        """Keep what decisions need, until cancelled."""


class LoopbackOnly:
    """Answers this machine alone, and no web page that a browser on it shows."""

    def admit(self, request: web.Request) -> Refusal | Scope:
        """As Access."""
        host = request.host.rpartition(":")[0] if request.host[-1:] != "]" else request.host
        named = (host or request.host).strip("[]")
        if _is_loopback(request.remote or "") and (named == "localhost" or _is_loopback(named)):
            return EVERYTHING
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

    def admit(self, request: web.Request) -> Refusal | Scope:
        """As Access."""
        try:
            wanted = self._wanted()
        except OSError:
            wanted = ""
        if not wanted:
            return Refusal(503, "the token file cannot be read")
        given = bearer(request)
        if given and same(wanted, given):
            return EVERYTHING
        return Refusal(401, "give the bearer token of --http-token-file")

    async def run(self) -> None:
        """There is nothing to keep."""

    def _wanted(self) -> str:
        return read_small_text(self._file, MAX_SECRET_BYTES).strip()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Answers who one of several answers."""

    parts: Sequence[Access]

    def admit(self, request: web.Request) -> Refusal | Scope:
        """As the first that does not refuse, or as the last."""
        for part in self.parts[:-1]:
            admitted = part.admit(request)
            if isinstance(admitted, Scope):
                return admitted
        return self.parts[-1].admit(request)

    async def run(self) -> None:
        """Keep what each needs."""
        async with asyncio.TaskGroup() as tasks:
            for part in self.parts:
                tasks.create_task(part.run())


def same(ours: str, given: str) -> bool:
    """Whether a secret that came is ours, in constant time. aiohttp reads bytes that are no UTF-8
    as halves of characters, which have no encoding of their own."""
    return hmac.compare_digest(ours.encode(), given.encode(errors="surrogatepass"))


def bearer(request: web.Request) -> str | None:
    """The bearer token of a request."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if kind.lower() == "bearer" else None


def narrowed(handler: HandlerT) -> HandlerT:
    """Mark a report that says to each caller what its `scope_of` sees, and nothing else."""
    setattr(handler, _NARROWED, True)
    return handler


def scope_of(request: web.Request) -> Scope:
    """What the caller of a report may read of it."""
    return request[_SCOPE]


def guarded(route: web.RouteDef, access: Access) -> web.RouteDef:
    """The route, answered only to those whom `access` lets in.

    Who may read of some namespaces alone gets only reports that are `narrowed`.
    """
    whole = not getattr(route.handler, _NARROWED, False)

    async def answer(request: web.Request) -> web.StreamResponse:
        admitted = access.admit(request)
        if isinstance(admitted, Scope) and whole and admitted.namespaces is not None:
            admitted = Refusal(403, f"{route.path} is of all namespaces: you may read of some")
        if isinstance(admitted, Scope):
            request[_SCOPE] = admitted
            response: web.StreamResponse = await route.handler(request)
            return response
        headers = {"WWW-Authenticate": "Bearer"} if admitted.status == 401 else {}
        return web.Response(status=admitted.status, text=admitted.why, headers=headers)

    return web.RouteDef(route.method, route.path, answer, route.kwargs)


def _is_loopback(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback
