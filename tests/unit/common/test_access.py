"""Who is answered on a desk's reports outside of a cluster."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from mediafleet_common.serving.access import (
    Access,
    AnyOf,
    LoopbackOnly,
    Refusal,
    Scope,
    TokenFile,
    narrowed,
    scope_of,
)
from mediafleet_common.serving.http import HttpServer
from mediafleet_common.serving.run import CannotStartError


class Peer:
    """A transport from an address."""

    def __init__(self, address: str) -> None:
        self._address = address

    def get_extra_info(self, name: str, default: object = None) -> object:
        return (self._address, 1) if name == "peername" else default


@pytest.mark.parametrize(
    ("peer", "host", "answered"),
    [
        ("127.0.0.1", "127.0.0.1:8080", True),
        ("127.0.0.1", "localhost", True),
        ("::1", "[::1]:8080", True),
        ("::ffff:127.0.0.1", "localhost:1", True),
        ("10.0.0.7", "127.0.0.1:8080", False),
        ("10.0.0.7", "localhost", False),
        ("fe80::1", "[::1]:8080", False),
        # A browser here, on a page whose name now leads here.
        ("127.0.0.1", "evil.example.com:8080", False),
        ("127.0.0.1", "127.0.0.1.evil.example.com", False),
    ],
)
def test_without_a_token_only_this_machine_is_answered(
    peer: str, host: str, answered: bool
) -> None:
    forged = {"Host": host, "X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
    request = make_mocked_request("GET", "/demand", headers=forged, transport=Peer(peer))
    assert isinstance(LoopbackOnly().admit(request), Scope) is answered


async def get(port: int, path: str, token: str | None = None) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    url = f"http://127.0.0.1:{port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status


def server(access: Access) -> HttpServer:
    async def report(_: web.Request) -> web.Response:
        return web.Response(text="secrets of tenants")

    reports = [web.get("/demand", report)]
    return HttpServer("127.0.0.1:0", lambda: None, reports=reports, access=access)


async def test_reports_need_the_token_of_the_file_and_health_and_metrics_none(
    tmp_path: Path,
) -> None:
    file = tmp_path / "token"
    file.write_text("open sesame\n")
    async with server(TokenFile(file)) as running:
        port = running.port
        assert [await get(port, path) for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
        assert await get(port, "/demand") == 401
        assert await get(port, "/demand", "open") == 401
        assert await get(port, "/demand", "open sesame") == 200
        file.write_text("another")
        assert await get(port, "/demand", "open sesame") == 401
        assert await get(port, "/demand", "another") == 200
        file.write_text("")
        assert await get(port, "/demand", "") == 503
        file.unlink()
        assert await get(port, "/demand", "another") == 503


class TokenOfNobody:
    """Lets in nobody."""

    def admit(self, request: web.Request) -> Refusal | Scope:
        return Refusal(401, "nobody has it")

    async def run(self) -> None:
        """There is nothing to keep."""


class Tenant:
    """Lets in a tenant of one namespace."""

    def admit(self, request: web.Request) -> Refusal | Scope:
        return Scope(frozenset({"tenant"}))

    async def run(self) -> None:
        """There is nothing to keep."""


async def test_a_tenant_gets_what_is_said_of_his_namespace_and_no_report_of_all() -> None:
    @narrowed
    async def report(request: web.Request) -> web.Response:
        seen = [each for each in ("tenant", "neighbour") if scope_of(request).sees(each)]
        return web.json_response(seen)

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="of all tenants")

    reports = [web.get("/demand", report), web.get("/ui/data", page)]
    access = AnyOf([TokenOfNobody(), Tenant()])
    async with (
        HttpServer("127.0.0.1:0", lambda: None, reports=reports, access=access) as running,
        aiohttp.ClientSession(f"http://127.0.0.1:{running.port}") as session,
        session.get("/demand") as demand,
        session.get("/ui/data") as refused,
    ):
        assert await demand.json() == ["tenant"]
        assert refused.status == 403
        assert "tenants" not in await refused.text()


def test_a_token_file_that_opens_to_everybody_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(CannotStartError, match="--http-token-file"):
        TokenFile(tmp_path / "none")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(CannotStartError, match="it is empty"):
        TokenFile(tmp_path / "empty")
