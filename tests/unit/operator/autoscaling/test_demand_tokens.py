"""By which token the operator asks desks, and where none goes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from typer.testing import CliRunner

from mediafleet.commands import app
from mediafleet_common.probes.http_client import FetchError, client
from mediafleet_common.reports.demand import Demand
from mediafleet_operator.rounds.demand import Tokens, ask

DESK = "http://mediafleet-egress.media.svc:8080"


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    (tmp_path / "desk").write_text("for-the-desk\n")
    (tmp_path / "pools").write_text("for-pools")
    return Tokens(tmp_path / "desk", tmp_path / "pools")


def test_an_advertiser_never_gets_the_token_that_the_egress_desk_takes(tokens: Tokens) -> None:
    assert tokens.of(f"{DESK}/demand", [f"{DESK}/"]) == "for-the-desk"
    for url in ("http://orch.evil.svc:8080/demand", f"{DESK}.evil.svc/demand"):
        assert tokens.of(url, [DESK]) == "for-pools"
        assert tokens.of(url, []) == "for-pools"


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
