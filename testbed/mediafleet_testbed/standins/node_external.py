"""A stand-in orchestrator's external capabilities (BYOC), with the rules of the real one.

Sources: livepeer/go-livepeer byoc/job_orchestrator.go, core/external_capabilities.go and
core/ai_orchestrator.go. Without payments and signatures, as off-chain. Its oddities are kept: a
registration sets the count of jobs to 0, a reservation never refuses, a worker that cannot be
reached or answers 401 is forgotten.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web

_CURRENCIES: Final = ("", "wei", "eth")
_PREFIX: Final = "/process/request/"


@dataclass(slots=True)
class Capability:
    """What a worker registered, and how many jobs it has."""

    told: Mapping[str, Any]
    load: int = 0

    @property
    def available(self) -> int:
        """As the token tells a gateway."""
        return max(0, int(self.told["capacity"]) - self.load)


@dataclass(slots=True)
class ExternalCapabilities:
    """Routes and state of an orchestrator."""

    secret: str
    capabilities: dict[str, Capability] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Paths and capability names, in order."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> web.Application:
        """What listens at the service address."""
        app = web.Application()
        app.router.add_post("/capability/register", self._register)
        app.router.add_post("/capability/unregister", self._unregister)
        app.router.add_post(_PREFIX + "{path:.*}", self._process)
        return app

    def available(self, name: str) -> int:
        """Jobs that a gateway is told are free."""
        known = self.capabilities.get(name)
        return 0 if known is None else known.available

    def _allowed(self, request: web.Request) -> bool:
        return request.headers.get("Authorization", "") == self.secret

    async def _register(self, request: web.Request) -> web.StreamResponse:
        if not self._allowed(request):
            return web.Response(status=400, text="invalid authorization\n")
        try:
            told = json.loads(await request.text())
        except ValueError as error:
            return web.Response(status=400, text=f"Error registering capability: {error}")
        if str(told.get("currency", "")).lower() not in _CURRENCIES:
            # The handler panics: net/http breaks the connection.
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        self.capabilities[told["name"]] = Capability(told)
        self._note("register", told["name"])
        return web.Response(text="ok", content_type="application/json")

    async def _unregister(self, request: web.Request) -> web.StreamResponse:
        if not self._allowed(request):
            return web.Response(status=400, text="invalid authorization\n")
        name = await request.text()
        self.capabilities.pop(name, None)
        self._note("unregister", name)
        return web.Response(text="ok", content_type="application/json")

    def _note(self, call: str, name: str) -> None:
        self.calls.append((call, name))
        self.changed.set()

    async def _process(self, request: web.Request) -> web.StreamResponse:
        try:
            job = json.loads(base64.b64decode(request.headers.get("Livepeer", ""), validate=True))
        except (ValueError, binascii.Error):
            return web.Response(status=400, text="Could not verify job creds\n")
        if not job.get("timeout_seconds"):
            return web.Response(
                status=400,
                text="no timeout_seconds set with request, timeout_seconds is required\n",
            )
        name = job["capability"]
        known = self.capabilities.get(name)
        if known is None:
            return web.Response(status=503, text="No capacity available for capability\n")
        known.load += 1
        route = request.match_info["path"]
        url = known.told["url"] + (f"/{route}" if route else "")
        headers = {"Content-Type": request.headers.get("Content-Type", "")}
        if known.told.get("token"):
            headers["Authorization"] = f"Bearer {known.told['token']}"
        limit = aiohttp.ClientTimeout(total=job["timeout_seconds"])
        async with aiohttp.ClientSession() as session:
            try:
                async with session.post(
                    url, data=await request.read(), headers=headers, timeout=limit
                ) as response:
                    return await self._answered(request, name, response)
            except TimeoutError:
                return web.Response(status=500, text="job not able to be processed\n")
            except aiohttp.ClientError as error:
                self.capabilities.pop(name, None)
                return web.Response(status=500, text=f"removing capability err={error}\n")

    async def _answered(
        self, request: web.Request, name: str, response: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        if response.status == 401:
            self.capabilities.pop(name, None)
            return web.Response(status=500, text="removing capability err=auth token failed\n")
        try:
            if response.content_type == "text/event-stream":
                return await self._streamed(request, response)
            body = await response.read()
            return web.Response(
                status=response.status if response.status > 399 else 200,
                body=body,
                headers={"Content-Type": response.headers.get("Content-Type", "")},
            )
        finally:
            # Of whatever is registered under the name by now.
            if (known := self.capabilities.get(name)) is not None:
                known.load -= 1

    async def _streamed(
        self, request: web.Request, response: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        async for line in response.content:
            await answer.write(line)
            if b"[DONE]" in line:
                return answer
        # Upstream's loop reads its closed channel for ever: only the gateway's time-out ends it.
        await asyncio.Event().wait()
        return answer


def job_header(capability: str, timeout_seconds: int = 30) -> dict[str, str]:
    """The header of a gateway's job."""
    job = {"id": "1", "request": "{}", "capability": capability, "timeout_seconds": timeout_seconds}
    return {"Livepeer": base64.b64encode(json.dumps(job).encode()).decode()}
