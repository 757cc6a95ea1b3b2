"""A stand-in orchestrator's dynamic live runners, with the rules of the real one.

Sources: livepeer/go-livepeer ai/runner/live_runner.go (Heartbeat, Unregister, ReserveSession),
server/ai_http.go (ProxyLiveRunnerSingleShot). Single-shot runners alone, without payments.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web

_OWN_HEADERS: Final = ("Host", "Content-Length", "Transfer-Encoding", "Connection")


@dataclass(slots=True)
class Runner:
    """A runner that sends heartbeats."""

    secret: str
    declared: Mapping[str, Any]
    beat_at: float
    sessions: int = 0


@dataclass(slots=True)
class RunnerRegistry:
    """Routes and state of an orchestrator with -useLiveRunners and -orchSecret."""

    secret: str
    on_chain: bool = True
    heartbeat_interval: str = "5s"
    ttl_seconds: float = 20.0
    clock: Callable[[], float] = time.monotonic
    runners: dict[str, Runner] = field(default_factory=dict)
    beats: list[Mapping[str, Any]] = field(default_factory=list)

    def app(self) -> web.Application:
        """What listens at the service address."""
        app = web.Application()
        app.router.add_post("/runners/heartbeat", self._heartbeat)
        app.router.add_post("/runners/{id}/unregister", self._unregister)
        app.router.add_get("/discovery", self._discovery)
        app.router.add_route("*", "/apps/{id}/app/{path:.*}", self._proxied)
        return app

    def ready(self) -> list[tuple[str, Runner]]:
        """Runners that clients may find."""
        return [
            (name, each)
            for name, each in self.runners.items()
            if self._is_live(each) and each.declared.get("status", "") in ("", "ready")
        ]

    def _is_live(self, runner: Runner) -> bool:
        return self.clock() - runner.beat_at <= self.ttl_seconds

    async def _heartbeat(self, request: web.Request) -> web.Response:
        declared = json.loads(await request.text())
        if (problem := self._problem(declared)) is not None:
            return _error(400, problem)
        given = request.headers.get("Authorization", "")
        name = declared.get("runner_id") or f"runner_{secrets.token_hex(4)}"
        known = self.runners.get(name)
        if known is None:
            # A heartbeat of a runner that nobody knows is taken for its first one.
            if not hmac.compare_digest(given, self.secret):
                return _error(401, "invalid registration authorization")
            known = Runner(secrets.token_hex(8), declared, self.clock())
            self.runners[name] = known
            return web.json_response(self._answer(name) | {"heartbeat_secret": known.secret})
        if not self._is_live(known):
            return _error(404, "runner not found")
        if not hmac.compare_digest(given, known.secret):
            return _error(401, "invalid heartbeat authorization")
        known.declared, known.beat_at = declared, self.clock()
        return web.json_response(self._answer(name))

    def _problem(self, declared: Mapping[str, Any]) -> str | None:
        if not str(declared.get("runner_url", "")).startswith(("http://", "https://")):
            return "invalid runner_url"
        if not declared.get("app"):
            return "app must be trimmed"
        price = declared.get("price_info") or {}
        if self.on_chain and not float(price.get("price", 0)) > 0:
            return "price_info.price must be a positive decimal"
        if self.on_chain and price.get("unit") not in ("hour", "720p", "fixed"):
            return "price_info.unit must be hour, 720p, or fixed"
        self.beats.append(declared)
        return None

    def _answer(self, name: str) -> dict[str, object]:
        return {
            "runner_id": name,
            "heartbeat_interval": self.heartbeat_interval,
            "heartbeat_ttl": f"{self.ttl_seconds:g}s",
            "session_ids": [],
        }

    async def _unregister(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        known = self.runners.get(name)
        if known is None or not self._is_live(known):
            return _error(404, "runner not found")
        if not hmac.compare_digest(request.headers.get("Authorization", ""), known.secret):
            return _error(401, "invalid authorization")
        del self.runners[name]
        return web.Response(status=204)

    async def _discovery(self, request: web.Request) -> web.Response:
        base = f"{request.scheme}://{request.host}"
        found = [
            {
                "url": f"{base}/apps/{name}/app",
                "app": each.declared["app"],
                "capacity": each.declared["capacity"],
                "capacity_used": each.sessions,
            }
            for name, each in self.ready()
        ]
        return web.json_response([{"address": base, **({"runners": found} if found else {})}])

    async def _proxied(self, request: web.Request) -> web.StreamResponse:
        known = dict(self.ready()).get(request.match_info["id"])
        if known is None:
            return _error(404, "runner not found")
        if known.sessions >= known.declared["capacity"]:
            return _error(503, "no capacity available for runner")
        known.sessions += 1
        try:
            return await self._passed_on(request, known.declared["runner_url"])
        finally:
            known.sessions -= 1

    async def _passed_on(self, request: web.Request, url: str) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k not in _OWN_HEADERS}
        headers["Livepeer-Session-Token"] = "session"
        path = request.match_info["path"]
        target = f"{url}/{path}" if path else url
        async with aiohttp.ClientSession() as session:
            try:
                async with session.request(
                    request.method, target, data=await request.read(), headers=headers
                ) as response:
                    body = await response.read()
                    return web.Response(
                        status=response.status, body=body, content_type=response.content_type
                    )
            except aiohttp.ClientError as error:
                return _error(502, str(error))


def _error(status: int, words: str) -> web.Response:
    return web.json_response({"error": {"message": words}}, status=status)
