"""What is sent to the API server for a pool's conditions, and what its failures become."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from mediafleet_common.kube.errors import KubeError
from mediafleet_scheduler.directory.conditions import PoolConditions

POOL = PoolConditions("media", "orch")
PATH = "/apis/mediafleet.dev/v1alpha1/namespaces/media/orchestratorpools/orch"
CONDITION = {"type": "HeadReady", "status": "True", "reason": "HeadAnswers"}


@dataclass
class ApiServer:
    status: int = 200
    text: str = "{}"
    asked: list[tuple[str, str, dict[str, str], str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        query, body = dict(request.query), await request.text()
        self.asked.append((request.method, request.path, query, request.content_type, body))
        return web.Response(status=self.status, text=self.text)


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiServer]:
    fake = ApiServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    config: dict[str, Any] = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    yield fake
    await runner.cleanup()


async def test_conditions_are_applied_to_the_status_under_a_manager_of_their_own(
    server: ApiServer,
) -> None:
    await POOL.write([CONDITION])
    ((method, path, query, content_type, body),) = server.asked
    assert (method, path) == ("PATCH", f"{PATH}/status")
    assert content_type == "application/apply-patch+yaml"
    assert query == {"fieldManager": "mediafleet-advertiser", "force": "true"}
    assert yaml.safe_load(body) == {
        "apiVersion": "mediafleet.dev/v1alpha1",
        "kind": "OrchestratorPool",
        "metadata": {"name": "orch", "namespace": "media"},
        "status": {"conditions": [CONDITION]},
    }


@pytest.mark.parametrize("text", ["{}", '{"status": null}', '{"status": {"conditions": null}}'])
async def test_a_pool_that_says_nothing_yet_has_no_conditions(server: ApiServer, text: str) -> None:
    server.text = text
    assert await POOL.read() == []
    assert server.asked[0][:2] == ("GET", PATH)


async def test_all_conditions_are_read(server: ApiServer) -> None:
    server.text = '{"status": {"conditions": [{"type": "Ready"}, {"type": "HeadReady"}]}}'
    assert [each["type"] for each in await POOL.read()] == ["Ready", "HeadReady"]


@pytest.mark.parametrize(("status", "text"), [(403, "no"), (404, "gone"), (500, "x"), (200, "<")])
async def test_a_failure_of_any_kind_is_one_that_is_tried_again(
    server: ApiServer, status: int, text: str
) -> None:
    server.status, server.text = status, text
    with pytest.raises(KubeError):
        await POOL.read()


async def test_an_api_server_that_is_away_is_too(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del server
    config = (tmp_path / "config").read_text()
    (tmp_path / "away").write_text(config.replace("http://127.0.0.1:", "http://127.0.0.1:1#"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "away"))
    with pytest.raises(KubeError):
        await POOL.write([CONDITION])
