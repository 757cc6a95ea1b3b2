"""A pool of AI workers on the node, at the chart's broker, and callers of that broker.

The runners are stand-ins: each task takes a worker for 3 s, and its speech is the text itself.
"""

from __future__ import annotations

import asyncio
import base64
from typing import Any, Final

import aiohttp
from tests.kit.fleets import manifests

from mediafleet_common.api.names import API_VERSION, Kind
from mediafleet_testbed.cluster.workspace import Workspace

POOL: Final = "speech"
TASKS: Final = 6
"""Each takes a worker for 3 s; two fit on a pod, so that three pods are wanted."""
MODEL: Final = {"pipeline": "text-to-speech", "model": "standin"}
BROKER: Final[dict[str, Any]] = {
    "enabled": True,
    "models": [{**MODEL, "wait_seconds": 300}],
    "secret": {"name": "broker", "key": "secret"},
    "runnerToken": {"name": "broker", "key": "token"},
    "apiToken": {"name": "broker", "key": "token"},
    "resources": {"requests": {"cpu": "20m"}},
}
"""Values of the chart."""
HEADERS: Final = {"Authorization": "Bearer of-callers"}


def make_secret(workspace: Workspace) -> None:
    """What workers and callers go by."""
    literals = ("--from-literal=secret=of-workers", "--from-literal=token=of-callers")
    workspace.kubectl("create", "secret", "generic", "broker", *literals)


def pool() -> dict[str, Any]:
    """From zero to three pods, by what waits."""
    runner = {
        "name": "runner",
        "image": manifests.IMAGE,
        "imagePullPolicy": "Never",
        "command": ["python", "-m", "mediafleet_testbed.standins.ai_runner", "--seconds", "3"],
        "resources": {"requests": {"cpu": "20m"}},
        # As the namespace's Pod Security level demands of the user's own container.
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": API_VERSION,
        "kind": Kind.AI_WORKER_POOL.value,
        "metadata": {"name": POOL},
        "spec": {
            "replicas": 0,
            "models": [{**MODEL, "capacity": 2}],
            "secret": {"name": "broker", "key": "secret"},
            "ca": {"name": "mediafleet-broker-tls", "key": "tls.crt"},
            "template": {"spec": {"containers": [runner]}},
            "drain": {"settle": "2s"},
            "update": {"maxSurge": 3},
            "autoscaling": {
                "min": 0,
                "max": 3,
                "buffer": {"slots": 0},
                "coolDown": "3s",
                "behavior": {"scaleDown": {"stabilization": "5s"}},
            },
        },
    }


async def say(url: str, text: str) -> str:
    """A task of an orchestrator, from its submission to its result."""
    body = {"model_id": MODEL["model"], "text": text}
    async with (
        aiohttp.ClientSession(headers=HEADERS) as session,
        session.post(f"{url}/text-to-speech", json=body) as response,
    ):
        return _said(response.status, await response.json())


async def keep_saying(url: str, caller: int, until_set: asyncio.Event) -> int:
    """One task after the other, each done; how many."""
    count = 0
    while not until_set.is_set():
        text = f"caller {caller}, {count}"
        assert await say(url, text) == text
        count += 1
    return count


async def submit(session: aiohttp.ClientSession, url: str, text: str) -> str:
    """A task of the JSON API; its id."""
    request = {"model_id": MODEL["model"], "text": text}
    task = {"pipeline": MODEL["pipeline"], "request": request}
    async with session.post(f"{url}/v1/tasks", json=task) as response:
        assert response.status == 202, await response.text()
        return str((await response.json())["id"])


async def result(session: aiohttp.ClientSession, url: str, task: str) -> str:
    """What became of it."""
    async with session.get(f"{url}/v1/tasks/{task}/result?wait=60") as response:
        return _said(response.status, await response.json())


def _said(status: int, answer: dict[str, Any]) -> str:
    assert status == 200, answer
    return base64.b64decode(answer["audio"]["url"].partition(",")[2]).decode()
