"""Stands between one life of an operator and the real API server, and does one thing wrong.

Plain HTTP on loopback on the operator's side, the node's TLS and an administrator's certificate on
the other. It forwards bytes as they are; of a watch it reads lines.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web
from tests.kit.faults.plans import CODES, ON_EVENTS, Fault, Plan

from mediafleet_common.api.names import PLURALS

SLOW_SECONDS: Final = 3.0
STALE_LISTS: Final = 3
_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_HOP: Final = frozenset({"host", "connection", "content-length", "transfer-encoding"})
_ENDS: Final = frozenset({Fault.CLOSED, Fault.EXPIRED, Fault.STALE})
_NODES: Final = "nodes"
_WATCHED: Final = frozenset({"pods", "services", _NODES, *PLURALS.values()})
"""What faults meet the watches and lists of: all that the operator watches."""
_NO_END: Final = aiohttp.ClientTimeout(total=None, sock_connect=30)


@dataclass
class Traffic:
    """What went through all lives of an operator."""

    plan: Plan | None
    on_delete: Callable[[str], None]
    """Called with the name of a pod that is about to be deleted."""
    on_crash: Callable[[], Awaitable[None]]
    on_second: Callable[[], Awaitable[None]]
    on_wrong: Callable[[str], None]
    """Called with what no write may be."""
    namespace: str = ""
    """Nodes that are the workload's own have names that begin so."""
    writes: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    """By collection."""
    struck: bool = False
    """Whether what the plan says has happened."""

    def meets_write(self) -> Fault | None:
        """The fault of the newest write, if any."""
        if self.plan is None or self.plan.fault in ON_EVENTS:
            return None
        return self._meets(self.plan, len(self.writes))

    def meets_event(self, of: str, line: bytes) -> Fault | None:
        """The fault of an event of a collection, if any."""
        if of == _NODES and not _object(line)["metadata"]["name"].startswith(self.namespace):
            return None
        self.events[of] += 1
        if self.plan is None or self.plan.fault not in ON_EVENTS or self.plan.of != of:
            return None
        return self._meets(self.plan, self.events[of])

    def _meets(self, plan: Plan, count: int) -> Fault | None:
        """At most once."""
        if self.struck or count < plan.nth:
            return None
        self.struck = True
        return plan.fault


class Proxy:
    """One life's way to the API server; `dead`, nothing passes any more."""

    def __init__(self, upstream: aiohttp.ClientSession, traffic: Traffic) -> None:
        self._upstream = upstream
        self._traffic = traffic
        self._stale: dict[str, bytes] = {}
        self._stale_left: Counter[str] = Counter()
        """Lists to be answered with what was, by collection."""
        self._expired: set[str] = set()
        """Collections whose next watch is refused."""
        self.dead = False
        self.url = ""

    async def start(self) -> None:
        """Listen."""
        app = web.Application(client_max_size=16 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Listen no more."""
        self.dead = True
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if self.dead:
            _abort(request)
        if request.query.get("watch"):
            return await self._watch(request)
        if request.method in _WRITES and "selfsubject" not in request.path:
            return await self._write(request)
        status, content_type, body = await self._forward(request, await request.read())
        if request.method == "GET" and (of := _plural(request)) in _WATCHED:
            body = self._as_of(of, request.path_qs.partition("&continue")[0], body)
        return web.Response(status=status, body=body, headers={"Content-Type": content_type})

    def _as_of(self, of: str, query: str, body: bytes) -> bytes:
        """A list, or what it first was once the fault has come."""
        if self._stale_left[of] and query in self._stale:
            self._stale_left[of] -= 1
            return self._stale[query]
        self._stale.setdefault(query, body)
        return body

    async def _write(self, request: web.Request) -> web.StreamResponse:
        traffic = self._traffic
        body = await request.read()
        traffic.writes.append(f"{request.method} {request.path.rpartition('/')[2]}")
        fault = traffic.meets_write()
        if fault is Fault.CRASH_BEFORE:
            await self._crash(request)
        if fault is not None and fault is not Fault.TIMEOUT_DONE and fault in CODES:
            return _refused(CODES[fault])
        if fault is Fault.SLOW:
            await asyncio.sleep(SLOW_SECONDS)
        if fault is Fault.SECOND:
            await traffic.on_second()
        if (wrong := unconditional(request.method, request.path, body)) is not None:
            traffic.on_wrong(wrong)
        if request.method == "DELETE" and "/pods/" in request.path:
            traffic.on_delete(request.path.rpartition("/")[2])
        status, content_type, answer = await self._forward(request, body)
        if fault is Fault.CRASH_AFTER:
            await self._crash(request)
        if fault is Fault.REPLY_LOST or self.dead:
            _abort(request)
        if fault is Fault.TIMEOUT_DONE:
            return _refused(504)
        return web.Response(status=status, body=answer, headers={"Content-Type": content_type})

    async def _crash(self, request: web.Request) -> None:
        self.dead = True
        await self._traffic.on_crash()
        _abort(request)

    async def _forward(self, request: web.Request, body: bytes) -> tuple[int, str, bytes]:
        async with self._upstream.request(
            request.method, request.rel_url, data=body or None, headers=_headers(request)
        ) as answer:
            return answer.status, answer.headers.get("Content-Type", ""), await answer.read()

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        of = _plural(request)
        if of in self._expired:
            self._expired.remove(of)
            return web.Response(body=_EXPIRED, content_type="application/json")
        async with self._upstream.get(
            request.rel_url, headers=_headers(request), timeout=_NO_END
        ) as answer:
            response = web.StreamResponse(
                status=answer.status, headers={"Content-Type": answer.headers["Content-Type"]}
            )
            await response.prepare(request)
            lines = self._meddled(of, answer.content) if of in _WATCHED else answer.content
            async for line in lines:
                if self.dead:
                    _abort(request)
                await response.write(line)
            return response

    async def _meddled(self, of: str, lines: aiohttp.StreamReader) -> AsyncIterator[bytes]:
        """The events of a collection with what the plan does to one of them."""
        held: tuple[Fault, bytes] | None = None
        came: list[bytes] = []
        async for line in lines:
            if b'"BOOKMARK"' in line[:40]:
                yield line
                continue
            fault = self._traffic.meets_event(of, line)
            if fault in _ENDS:
                self._ends(of, fault)
                return
            if fault in {Fault.SWAPPED, Fault.MERGED}:
                held = fault, line
                continue
            if fault is Fault.LATE:
                await asyncio.sleep(SLOW_SECONDS)
            if held is not None:
                for each in _with_held(*held, line):
                    yield each
                held = None
                continue
            came.append(line)
            for each in _told(fault, came):
                yield each
            if fault is Fault.BACK:
                await asyncio.sleep(SLOW_SECONDS)
                return

    def _ends(self, of: str, fault: Fault) -> None:
        """A watch ends, and what comes after it may be wrong, too."""
        if fault is Fault.EXPIRED:
            self._expired.add(of)
        elif fault is Fault.STALE:
            self._stale_left[of] = STALE_LISTS


def _plural(request: web.Request) -> str:
    """The collection that a path ends with; of one object, its name."""
    return request.path.rpartition("/")[2]


def _told(fault: Fault | None, came: list[bytes]) -> list[bytes]:
    """What is told once the last of these has come."""
    last, older = came[-1], came[: (len(came) + 1) // 2]
    told = {Fault.DROPPED: [], Fault.DOUBLED: [last, last], Fault.BACK: [last, *older]}
    return told.get(fault, [last]) if fault else [last]


def _with_held(fault: Fault, held: bytes, line: bytes) -> list[bytes]:
    """What comes of an event that was held back until the next one."""
    if fault is Fault.SWAPPED:
        return [line, held]
    return [line] if _uid(line) == _uid(held) else [held, line]


def _uid(line: bytes) -> str:
    """Of the object that an event is of."""
    return str(_object(line)["metadata"]["uid"])


def _object(line: bytes) -> dict[str, Any]:
    """That an event is of."""
    made: dict[str, Any] = json.loads(line)["object"]
    return made


def unconditional(method: str, path: str, body: bytes) -> str | None:
    """What a write to a pod lacks of what it was planned from; `None`: nothing, or it is none."""
    if method not in {"DELETE", "PATCH"} or "/pods/" not in path:
        return None
    said: dict[str, Any] = json.loads(body or b"{}")
    held = said.get("preconditions" if method == "DELETE" else "metadata") or {}
    # Kubelet writes the same status all the time.
    needed = {"uid"} if path.endswith("/status") else {"uid", "resourceVersion"}
    missing = sorted(needed - held.keys())
    return f"{method} {path} without {' and '.join(missing)}" if missing else None


def _headers(request: web.Request) -> dict[str, str]:
    # What is read as lines must not come compressed.
    kept = {key: value for key, value in request.headers.items() if key.lower() not in _HOP}
    return {**kept, "Accept-Encoding": "identity"}


def _status(code: int) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": "Expired" if code == 410 else "Unknown",
        "message": f"a fault of the test: {code}",
        "code": code,
    }


_EXPIRED: Final = json.dumps({"type": "ERROR", "object": _status(410)}).encode() + b"\n"
"""A watch from a version that is too old begins well, and this is its one event."""


def _refused(code: int) -> web.Response:
    body = json.dumps(_status(code))
    return web.Response(status=code, body=body, content_type="application/json")


def _abort(request: web.Request) -> None:
    """Break the connection without a word, and end the handler."""
    if request.transport is not None:
        request.transport.abort()
    raise web.HTTPGone
