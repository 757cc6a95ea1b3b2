"""What the agent of a node does on a real one: count connections, hold back, tell of drains."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from tests.kit.fleets.manifests import CONTROL_PORT, orchestrator_pool
from tests.kit.node.operating import operating

from mediafleet_common.api.names import Port
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.story.waiting import until

pytestmark = pytest.mark.timeout(300)
GRACE_SECONDS: Final = 90


@pytest.fixture
def place(workspace: Workspace, node: Any, tmp_path: Path) -> Iterator[Workspace]:
    with operating(node, workspace, tmp_path / "operator.log"):
        yield workspace


def apply_pool(place: Workspace, name: str, **spec: Any) -> None:
    made = orchestrator_pool(name, 1, advertise={"replicas": 0}, **spec)
    made["spec"]["args"].append("-standinSessionSeconds=3600")
    made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = GRACE_SECONDS
    place.apply(made)


def pods(place: Workspace, pool: str) -> list[dict[str, Any]]:
    return place.pods(f"mediafleet.dev/fleet={pool}")


def status(place: Workspace, pool: str) -> dict[str, Any]:
    found: dict[str, Any] = place.get(f"opool/{pool}").get("status", {})
    return found


async def eventually(what: str, check: Any, seconds: float = 60) -> None:
    async def ask() -> Any:
        return await asyncio.to_thread(check)

    await until(what, ask, bool, seconds, pause_seconds=0.3)


async def test_a_node_that_is_deleted_with_a_session_is_held_back_until_that_ends(
    place: Workspace,
) -> None:
    apply_pool(place, "held", sessions={"max": 7})
    place.wait("condition=Ready", "opool/held", timeout_seconds=90)
    [pod] = pods(place, "held")
    address = pod["status"]["podIP"]
    control = f"http://{address}:{CONTROL_PORT}/sessions/one"

    async with aiohttp.ClientSession() as session:

        async def holds() -> bool:
            async with session.get(f"http://{address}:{Port.AGENT}/metrics") as answer:
                text = await answer.text()
            assert "mediafleet_agent_cli_exposed 0.0" in text
            return "mediafleet_agent_holding 1.0" in text

        async with session.put(control) as answer:
            answer.raise_for_status()
        await eventually("load seen", lambda: status(place, "held").get("sessions") == 1)
        assert status(place, "held")["maxSessions"] == 7
        await asyncio.to_thread(place.kubectl, "delete", "pod", "held-0", "--wait=false")
        await until("held back", holds, bool, 30, pause_seconds=0.3)
        async with session.get(control.rpartition("/")[0]) as answer:
            assert [each["id"] for each in (await answer.json())["active"]] == ["one"]
        async with session.delete(control) as answer:
            answer.raise_for_status()

    def replaced() -> bool:
        uids = [each["metadata"]["uid"] for each in pods(place, "held")]
        return bool(uids) and pod["metadata"]["uid"] not in uids

    await eventually("let go, and replaced", replaced, GRACE_SECONDS - 30)


async def test_a_pool_that_counts_connections_waits_for_them_and_tells_of_the_drain(
    place: Workspace,
) -> None:
    apply_pool(place, "counted", load="connections")
    place.wait("condition=Ready", "opool/counted", timeout_seconds=90)
    [pod] = pods(place, "counted")
    await eventually("no connections", lambda: status(place, "counted").get("sessions") == 0)
    _, writer = await asyncio.open_connection(pod["status"]["podIP"], Port.ORCHESTRATOR)
    try:
        await eventually("a connection", lambda: status(place, "counted").get("sessions") == 1)
        await asyncio.to_thread(place.kubectl, "scale", "opool/counted", "--replicas=0")
        await eventually("it drains", lambda: status(place, "counted").get("draining") == 1)
        with pytest.raises(Exception, match="not within"):
            await eventually("deleted", lambda: not pods(place, "counted"), seconds=8)
    finally:
        writer.close()
    await eventually("deleted", lambda: not pods(place, "counted"))
    [drain] = status(place, "counted")["drains"]

    assert (drain["pod"], drain["reason"]) == ("counted-0", "scale_down")
    assert (drain["result"], drain["left"]) == ("idle", 0)
    assert drain["since"] < drain["ended"]
