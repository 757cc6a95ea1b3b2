"""Hostile objects and requests for as long as one likes: an operator stays as it was.

A few seconds by itself; `make soak` has it for 30 min.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import yaml
from tests.kit.api.values import SPOILS
from tests.kit.counted import counted
from tests.kit.figures import Show
from tests.kit.fleets.manifests import egress_fleet
from tests.kit.operator.watch_server import ApiServer
from tests.kit.soak import SECONDS, Growth, hold, noise, soak

from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import free_port

PODS: Final = 20
BATCH: Final = 50
NOISES: Final = 5
READY_SECONDS: Final = 60.0
PARTS: Final = ("metadata.labels", "metadata.annotations", "spec", "status")
_LISTED_TIMES: Final = {"operator": {"resync_seconds": 0.5}}

pytestmark = pytest.mark.timeout(240 + 2 * SECONDS)


def pod(slot: int, version: int) -> dict[str, Any]:
    """One of a fleet, as kubelet tells of it."""
    started = "2026-08-01T00:00:00Z"
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": started}
    labels = {"kind": "egress", "fleet": "rec", "slot": str(slot), "state": "ready"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"rec-{slot}",
            "namespace": "media",
            "uid": f"uid-{slot}",
            "resourceVersion": str(version),
            "creationTimestamp": started,
            "labels": {f"mediafleet.dev/{key}": each for key, each in labels.items()},
            "annotations": {"mediafleet.dev/work-when-ready": "true"},
            "ownerReferences": [{"controller": True, "uid": "uid-rec"}],
        },
        "spec": {"nodeName": "n", "containers": [{"name": "egress", "resources": {}}]},
        "status": {
            "phase": "Running",
            "startTime": started,
            "podIP": "10.255.255.1",
            "conditions": [ready],
            "containerStatuses": [
                {"name": "egress", "restartCount": 1, "state": {"running": {}}, "lastState": {}}
            ],
        },
    }


def fleet(version: int) -> dict[str, Any]:
    """Its fleet; paused, since this API server takes no pods."""
    made = egress_fleet("rec", "redis:6379", PODS, paused=True)
    made["metadata"] |= {"namespace": "media", "uid": "uid-rec", "resourceVersion": str(version)}
    return made


def spoilt(
    raw: dict[str, Any], chance: random.Random, parts: Sequence[str], *, typed: bool
) -> dict[str, Any]:
    """The object with something wrong in one place, at whatever depth of one of its parts.

    `typed`: as the API server knows the fields of a pod, a text is another text, or is missing.
    """
    made = copy.deepcopy(raw)
    spot: Any = made
    for key in chance.choice(parts).split("."):
        spot = spot[key]
    while True:
        key = chance.choice(list(spot) if isinstance(spot, dict) else range(len(spot)))
        inner = spot[key]
        if isinstance(inner, dict | list) and inner and (typed or chance.random() < 0.7):
            spot = inner
            continue
        others = [each for each in SPOILS if not typed or type(each) is type(inner)]
        if isinstance(spot, dict) and chance.random() < 0.2:
            del spot[key]
        else:
            spot[key] = chance.choice(others)
        return made


async def ready(port: int) -> None:
    """Until it says so."""
    async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


async def hurt(server: ApiServer, port: int, process: Growth) -> None:
    """All that for as long as it is asked for."""

    async def work(_: int, chance: random.Random) -> None:
        server.version += BATCH
        pods = [pod(slot, server.version) for slot in range(PODS)]
        server.fleets = [
            fleet(server.version),
            spoilt(fleet(server.version), chance, ("spec",), typed=False),
        ]
        server.pods = [*pods[1:], spoilt(pods[0], chance, PARTS, typed=True)]
        for _ in range(BATCH):
            kind = chance.choice(("ADDED", "MODIFIED", "DELETED", "MODIFIED", "BOOKMARK"))
            wrong = spoilt(chance.choice(pods), chance, PARTS, typed=True)
            server.events.put_nowait({"type": kind, "object": wrong})
        await noise("127.0.0.1", port, chance, NOISES)
        await server.until_heard()

    await soak(work, [process])


async def test_hostile_objects_leave_the_operator_at_work_and_no_larger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, show: Show
) -> None:
    server, http = ApiServer(), free_port()
    server.fleets = [fleet(server.version)]
    settings = tmp_path / "settings.yaml"
    settings.write_text(yaml.safe_dump(_LISTED_TIMES))
    async with server.serving() as url, Processes(tmp_path) as processes:
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        (tmp_path / "config").write_text(yaml.safe_dump(config))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        options = ("--no-leader-election", "--http", f"127.0.0.1:{http}")
        tasks = tmp_path / "tasks"
        member = await processes.python(
            "operator", *counted(tasks), "operator", *options, "--settings", str(settings)
        )
        await ready(http)
        growth = Growth("operator", member.process.pid, tasks)
        await hurt(server, http, growth)
        await ready(http)
        assert member.process.returncode is None
        assert "Traceback" not in member.log.read_text(errors="replace"), member.log_tail(40)
        assert server.lists > 1
        hold([growth], show)
