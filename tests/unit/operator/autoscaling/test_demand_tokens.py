"""By which token the operator asks desks, and where none goes."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from typer.testing import CliRunner

from mediafleet.commands import app
from mediafleet_common.clock import Clock
from mediafleet_common.kube.client import Json
from mediafleet_common.kube.errors import UnreachableError
from mediafleet_common.kube.paths import Target
from mediafleet_common.probes.http_client import FetchError, client
from mediafleet_common.reports.demand import Demand
from mediafleet_operator.kube.pool_tokens import PoolTokens
from mediafleet_operator.rounds.desks.demand import Tokens, ask

NOW = 1_000_000.0
CLOCK = Clock(unix=lambda: NOW)
DESK = "http://mediafleet-egress.media.svc:8080"


@dataclass
class TokenServer:
    """An API server that gives tokens, which say what they are for."""

    away: bool = False
    broken: bool = False
    given: int = 0
    clock: Callable[[], float] = lambda: NOW

    async def create(self, target: Target, body: Json) -> Json:
        """As kube.client.Api."""
        assert target.path == "/api/v1/namespaces/media/serviceaccounts/operator/token"
        if self.away:
            raise UnreachableError("away")
        if self.broken:
            return {"status": {}}
        self.given += 1
        (audience,) = body["spec"]["audiences"]
        ends = datetime.datetime.fromtimestamp(self.clock() + 600, datetime.UTC).isoformat()
        return {"status": {"token": f"{audience} {self.given}", "expirationTimestamp": ends}}


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    (tmp_path / "desk").write_text("for-the-desk\n")
    return Tokens(tmp_path / "desk", PoolTokens(TokenServer(), "media", "operator", CLOCK))


async def test_each_namespace_gets_a_token_that_counts_nowhere_else(tokens: Tokens) -> None:
    assert await tokens.of(f"{DESK}/demand", [f"{DESK}/"]) == "for-the-desk"
    sent = {
        "http://orch.evil.svc:8080/demand": "mediafleet-pools/evil",
        "http://orch.media.svc:8080/demand": "mediafleet-pools/media",
        f"{DESK}/demand": "mediafleet-pools/media",
        # Of a pool called orch.media in namespace evil, whose owner can have a pod of that host.
        "http://orch.media.evil.svc:8080/demand": "mediafleet-pools/evil",
        "http://mediafleet-egress.media.svc.evil.svc/demand": "mediafleet-pools/evil",
    }
    for url, audience in sent.items():
        assert (await tokens.of(url, []) or "").startswith(f"{audience} "), url
    assert await tokens.of("http://orch.media.example.com/demand", []) is None


async def test_a_token_for_a_pool_is_kept_for_half_of_its_life_and_the_whole_in_an_outage() -> None:
    now = 0.0
    server = TokenServer(clock=lambda: NOW + now)
    pools = PoolTokens(server, "media", "operator", Clock(unix=server.clock))
    first = await pools.of("evil")
    now = 299
    assert await pools.of("evil") == first
    now = 301
    second = await pools.of("evil")
    assert second != first
    server.away = True
    now = 301 + 599
    assert await pools.of("evil") == second
    now = 301 + 601
    with pytest.raises(FetchError, match="no token to ask with: away"):
        await Tokens(pools=pools).of("http://orch.evil.svc:8080/demand", [])
    server.away, server.broken = False, True
    with pytest.raises(FetchError, match="no token"):
        await Tokens(pools=pools).of("http://orch.evil.svc:8080/demand", [])


async def test_a_token_that_kubelet_replaced_counts_for_the_next_question(tokens: Tokens) -> None:
    seen = []

    async def demand(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(text=Demand(fleets=[]).model_dump_json())

    server = web.Application()
    server.add_routes([web.get("/demand", demand)])
    async with TestServer(server) as desk, client() as session:
        base = str(desk.make_url("")).rstrip("/")
        await ask(session, tokens, [base], f"{base}/demand")
        assert tokens.desk is not None
        tokens.desk.write_text("rotated")
        await ask(session, tokens, [base], f"{base}/demand")
        await ask(session, Tokens(), [base], f"{base}/demand")
        tokens.desk.unlink()
        with pytest.raises(FetchError, match="cannot be read"):
            await ask(session, tokens, [base], f"{base}/demand")
    assert seen == ["Bearer for-the-desk", "Bearer rotated", None]


async def test_a_redirect_takes_no_token_along() -> None:
    seen = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(text="{}")

    async def explain(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer mine"
        raise web.HTTPFound("/elsewhere")

    server = web.Application()
    server.add_routes([web.get("/explain", explain), web.get("/elsewhere", elsewhere)])
    async with TestServer(server) as desk:
        command = ["explain", str(desk.make_url("")), "--token", "mine"]
        shown = await asyncio.to_thread(CliRunner().invoke, app, command)
    assert shown.exit_code == 1
    assert "says 302" in shown.output
    assert seen == []
