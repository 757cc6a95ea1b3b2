"""Events that a desk posts, as an API server sees them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.api.events import EventToPost
from mediafleet_common.api.names import Reason
from mediafleet_scheduler.core.egress.views import Fleet
from mediafleet_scheduler.directory.events import post

FLEET = Fleet("live", "rec", Placement(), frozenset(), None, (), uid="uid-1")
TELLING = EventToPost("Warning", Reason.JOBS_LOST, "Lost 1 job with pod rec-0: EG_1.")


@dataclass
class ApiServer:
    """Takes Events, or refuses them."""

    status: int = 201
    events: list[tuple[str, str | None, dict[str, Any]]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.events.append((request.path, request.headers.get("Authorization"), body))
        return web.json_response(body, status=self.status)


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiServer]:
    made, app = ApiServer(), web.Application()
    app.router.add_post("/apis/events.k8s.io/v1/namespaces/{namespace}/events", made.take)
    async with TestServer(app) as running:
        url = str(running.make_url("/"))
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        file = tmp_path / "kubeconfig"
        file.write_text(yaml.safe_dump(config))
        monkeypatch.setenv("KUBECONFIG", str(file))
        monkeypatch.setenv("POD_NAME", "desk-1")
        yield made


async def test_an_event_is_about_the_fleet_and_names_the_desk(server: ApiServer) -> None:
    await post(FLEET, TELLING)
    ((path, authorization, body),) = server.events
    assert path == "/apis/events.k8s.io/v1/namespaces/live/events"
    assert authorization == "Bearer t"
    assert (body["apiVersion"], body["kind"]) == ("events.k8s.io/v1", "Event")
    assert body["metadata"]["namespace"] == "live"
    assert body["regarding"] == {
        "apiVersion": "mediafleet.dev/v1alpha1",
        "kind": "EgressFleet",
        "namespace": "live",
        "name": "rec",
        "uid": "uid-1",
    }
    assert (body["type"], body["reason"], body["note"]) == ("Warning", "JobsLost", TELLING.note)
    assert body["reportingController"] == "mediafleet.dev/egress"
    assert body["reportingInstance"] == "desk-1"
    assert datetime.fromisoformat(body["eventTime"]).utcoffset() == timedelta(0)


async def test_two_events_have_two_names_and_a_long_note_is_cut(server: ApiServer) -> None:
    for _ in range(2):
        await post(FLEET, replace(TELLING, note="x" * 5000))
    names = {body["metadata"]["name"] for _, _, body in server.events}
    assert len(names) == 2
    assert all(name.startswith("rec.") for name in names)
    assert len(server.events[0][2]["note"]) == 1000


async def test_an_event_that_is_refused_is_only_logged(
    server: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.status = 403
    with caplog.at_level(logging.WARNING):
        await post(FLEET, TELLING)
    assert "Event JobsLost of live/rec was not posted" in caplog.text
