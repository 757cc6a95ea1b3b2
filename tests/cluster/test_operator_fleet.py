"""The operator on a real node: fleets follow their resources, and say what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from tests.kit.fleets.manifests import CONTROL_PORT, egress_fleet, orchestrator_pool, revised
from tests.kit.node.operating import Operator, operating
from tests.kit.watching.api import Api, ApiRefusedError

from mediafleet_common.api.names import Annotation, Kind, Label, PodState
from mediafleet_scheduler.directory.objects import pod_state
from mediafleet_testbed.cluster.pods import container, pod, service
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.errors import CommandError
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

pytestmark = pytest.mark.timeout(300)
NODE: Final = "mediafleet.dev/fleet=orch"
POOL: Final = "opool/orch"


@pytest.fixture
def operator(node: Node, workspace: Workspace, tmp_path: Path) -> Iterator[Operator]:
    with operating(node, workspace, tmp_path / "operator.log") as running:
        yield running


@pytest.fixture
async def api(node: Node) -> AsyncIterator[Api]:
    async with Api(node.kubeconfig) as connected:
        yield connected


@pytest.fixture
def pool(operator: Operator, workspace: Workspace) -> Workspace:
    """Two Ready nodes of a pool that nobody advertises."""
    apply_pool(workspace, 2)
    workspace.wait("condition=Ready", POOL, timeout_seconds=90)
    return workspace


def apply_pool(workspace: Workspace, replicas: int, **spec: Any) -> None:
    resource = orchestrator_pool("orch", replicas, **{"advertise": {"replicas": 0}, **spec})
    resource["spec"]["args"].append("-standinSessionSeconds=3600")
    workspace.apply(resource)


def pods(workspace: Workspace) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in workspace.pods(NODE)}


def state(pod: dict[str, Any]) -> str:
    going = "deletionTimestamp" in pod["metadata"]
    return "going" if going else str(pod["metadata"]["labels"][Label.STATE])


def condition(workspace: Workspace, name: str, what: str = POOL) -> dict[str, Any]:
    conditions = workspace.get(what).get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == name), {})


async def work(workspace: Workspace, name: str, *, busy: bool) -> None:
    """Give a stand-in node a session, as gateways do by segments, or end it."""
    address = pods(workspace)[name]["status"]["podIP"]
    url = f"http://{address}:{CONTROL_PORT}/sessions/one"
    method = "PUT" if busy else "DELETE"
    async with aiohttp.ClientSession() as session, session.request(method, url) as answer:
        answer.raise_for_status()


async def eventually(workspace: Workspace, what: str, check: Any, seconds: float = 60) -> None:
    async def ask() -> Any:
        return await asyncio.to_thread(check)

    await until(what, ask, bool, seconds, pause_seconds=0.2)


async def test_both_kinds_come_up_in_a_restricted_namespace(
    operator: Operator, workspace: Workspace
) -> None:
    workspace.apply(pod("redis", container("redis", "redis:dev")), service("redis", 6379, 6379))
    fleet = egress_fleet("rec", "redis:6379", 2)
    del fleet["spec"]["replicas"]
    workspace.apply(fleet)
    apply_pool(workspace, 2)
    for what in ("efleet/rec", POOL):
        workspace.wait("condition=Ready", what, timeout_seconds=90)
    rec, orch = workspace.get("efleet/rec"), workspace.get(POOL)

    assert rec["spec"]["replicas"] == 1
    assert rec["status"]["mode"] == "spread"
    assert orch["status"]["listed"] == 2
    addresses = {
        pod["metadata"]["annotations"]["mediafleet.dev/address"] for pod in pods(workspace).values()
    }
    assert addresses == {
        f"https://{pod['status']['podIP']}:8935" for pod in pods(workspace).values()
    }
    table = workspace.kubectl("get", "efleet,opool")
    assert "MODE" in table
    assert "LISTED" in table
    assert workspace.kubectl("get", "mediafleet").count("\n") >= 2
    chosen = workspace.kubectl("get", "pods", "-l", orch["status"]["selector"], "-o", "name")
    assert chosen.split() == ["pod/orch-0", "pod/orch-1"]


async def test_a_scale_down_takes_the_idle_pod_and_waits_for_the_busy_one(
    pool: Workspace,
) -> None:
    await work(pool, "orch-1", busy=True)
    await eventually(pool, "load seen", lambda: pool.get(POOL)["status"].get("sessions") == 1)
    pool.kubectl("scale", POOL, "--replicas=1")
    await eventually(pool, "one pod", lambda: list(pods(pool)) == ["orch-1"])

    pool.kubectl("scale", POOL, "--replicas=0")
    await eventually(pool, "draining", lambda: state(pods(pool)["orch-1"]) == "draining")
    await eventually(
        pool, "said why", lambda: "orch-1" in condition(pool, "Draining").get("message", "")
    )
    status = pool.get(POOL)["status"]
    assert (status["replicas"], status["draining"], status["listed"]) == (0, 1, 0)
    with pytest.raises(Exception, match="not within"):
        await eventually(pool, "deleted", lambda: not pods(pool), seconds=6)

    await work(pool, "orch-1", busy=False)
    await eventually(pool, "deleted once idle", lambda: not pods(pool))


async def test_a_scale_up_takes_a_draining_pod_back(pool: Workspace) -> None:
    for name in ("orch-0", "orch-1"):
        await work(pool, name, busy=True)
    before = {name: each["metadata"]["uid"] for name, each in pods(pool).items()}
    pool.kubectl("scale", POOL, "--replicas=1")
    await eventually(pool, "drains", lambda: "draining" in map(state, pods(pool).values()))
    pool.kubectl("scale", POOL, "--replicas=2")
    await eventually(pool, "back", lambda: set(map(state, pods(pool).values())) == {"ready"})

    assert {name: each["metadata"]["uid"] for name, each in pods(pool).items()} == before


async def test_a_rollout_replaces_every_pod_and_never_has_fewer_ready(
    pool: Workspace, api: Api
) -> None:
    fewest, path = 2, f"/api/v1/namespaces/{pool.name}/pods"
    seen: dict[str, bool] = {}

    async def follow() -> None:
        nonlocal fewest
        async with contextlib.aclosing(api.watch(path, labelSelector=NODE)) as events:
            async for kind, each in events:
                # As desks see it: a pod serves before the operator's label says so.
                serving = pod_state(each) is PodState.READY and kind != "DELETED"
                seen[each["metadata"]["uid"]] = serving
                if len(seen) >= 2:
                    fewest = min(fewest, sum(seen.values()))

    watching = asyncio.create_task(follow())
    await eventually(pool, "watching", lambda: len(seen) == 2)
    pool.kubectl("patch", POOL, "--type=merge", "-p", json.dumps(revised(1)))
    await eventually(
        pool,
        "rolled out",
        lambda: (
            {each["metadata"]["labels"]["revision"] for each in pods(pool).values()} == {"1"}
            and len(pods(pool)) == 2
        ),
        90,
    )
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)

    assert fewest == 2


async def test_a_template_that_cannot_work_is_named_and_replaces_nothing(pool: Workspace) -> None:
    before = set(pods(pool))
    pool.kubectl("patch", POOL, "--type=merge", "-p", '{"spec":{"args":["-httpAddr=:1"]}}')
    await eventually(
        pool, "said", lambda: condition(pool, "TemplateValid").get("status") == "False"
    )

    message = condition(pool, "TemplateValid")["message"]
    assert "spec.args[0]" in message
    assert "spec.address.port" in message
    assert set(pods(pool)) == before


async def test_an_image_that_cannot_be_pulled_holds_up_the_rollout_and_is_not_retried_hotly(
    pool: Workspace,
) -> None:
    pool.kubectl("patch", POOL, "--type=merge", "-p", '{"spec":{"image":"nobody/has:this"}}')
    await eventually(
        pool, "said", lambda: condition(pool, "Degraded").get("reason") == "ImagePull", 60
    )
    there = pods(pool)
    ready = [name for name, each in there.items() if state(each) == "ready"]

    assert ready == ["orch-0", "orch-1"]
    assert list(there) == ["orch-0", "orch-1", "orch-2"]
    assert there["orch-2"]["metadata"]["generation"] == 1
    uid = there["orch-2"]["metadata"]["uid"]
    await asyncio.sleep(5)
    assert pods(pool)["orch-2"]["metadata"]["uid"] == uid


async def test_a_quota_is_named_and_when_it_is_lifted_the_fleet_grows(
    operator: Operator, workspace: Workspace
) -> None:
    workspace.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "few"},
            "spec": {"hard": {"pods": "1"}},
        }
    )
    apply_pool(workspace, 3)
    await eventually(
        workspace, "said", lambda: condition(workspace, "Degraded").get("reason") == "QuotaExceeded"
    )
    assert "exceeded quota: few" in condition(workspace, "Ready")["message"]
    assert len(pods(workspace)) == 1

    workspace.kubectl("delete", "resourcequota", "few")
    workspace.wait("condition=Ready", POOL, timeout_seconds=90)
    assert len(pods(workspace)) == 3


async def test_an_eviction_spares_a_busy_pod_and_takes_an_idle_one(
    pool: Workspace, api: Api
) -> None:
    await work(pool, "orch-0", busy=True)
    await eventually(
        pool, "marked", lambda: pods(pool)["orch-0"]["metadata"]["labels"].get(Label.BUSY) == "true"
    )

    async def evicted(name: str) -> bool:
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        try:
            await api.post(f"/api/v1/namespaces/{pool.name}/pods/{name}/eviction", body)
        except ApiRefusedError as error:
            if error.status != 429:
                raise
            return False
        return True

    assert not await evicted("orch-0")
    # A pod whose load is unknown for a moment, on a machine that has much to do, counts as busy.
    await until("the idle pod goes", lambda: evicted("orch-1"), bool, 20)
    assert not await evicted("orch-0")
    assert state(pods(pool)["orch-0"]) == "ready"


@pytest.mark.alone
async def test_a_pod_on_a_cordoned_node_stays_until_another_is_ready(
    pool: Workspace, node: Node
) -> None:
    node.kubectl("cordon", node.node_name)
    try:
        await eventually(pool, "a replacement waits", lambda: "orch-2" in pods(pool))
        ready = [name for name, each in pods(pool).items() if state(each) == "ready"]
        assert ready == ["orch-0", "orch-1"]
    finally:
        node.kubectl("uncordon", node.node_name)
    await eventually(pool, "as before", lambda: len(pods(pool)) == 2)
    assert set(map(state, pods(pool).values())) == {"ready"}


@pytest.mark.alone
async def test_kubectl_drain_takes_idle_pods_waits_for_a_busy_one_and_ends(
    pool: Workspace, node: Node
) -> None:
    await work(pool, "orch-0", busy=True)
    await eventually(
        pool, "marked", lambda: pods(pool)["orch-0"]["metadata"]["labels"].get(Label.BUSY) == "true"
    )
    uid = pods(pool)["orch-0"]["metadata"]["uid"]
    words = ("drain", node.node_name, f"--pod-selector={NODE}", "--delete-emptydir-data")
    draining = asyncio.create_task(
        asyncio.to_thread(node.kubectl, *words, "--timeout=120s", timeout_seconds=130)
    )
    try:
        await eventually(pool, "the idle one goes", lambda: "orch-1" not in pods(pool))
        assert not draining.done()
        assert pods(pool)["orch-0"]["metadata"]["uid"] == uid
        assert "deletionTimestamp" not in pods(pool)["orch-0"]["metadata"]
        await work(pool, "orch-0", busy=False)
        assert "drained" in await draining
    finally:
        node.kubectl("uncordon", node.node_name)
    await eventually(
        pool,
        "two are Ready again",
        lambda: sorted(map(state, pods(pool).values())) == ["ready", "ready"],
    )


async def test_killed_in_the_middle_of_a_drain_it_goes_on_where_it_was(
    pool: Workspace, operator: Operator
) -> None:
    await work(pool, "orch-0", busy=True)
    await work(pool, "orch-1", busy=True)
    pool.kubectl("scale", POOL, "--replicas=0")
    await eventually(pool, "drains", lambda: set(map(state, pods(pool).values())) == {"draining"})
    since = [
        each["metadata"]["annotations"][Annotation.DRAIN_STARTED] for each in pods(pool).values()
    ]
    operator.kill()
    await work(pool, "orch-0", busy=False)
    operator.start()
    await eventually(pool, "the idle one goes", lambda: list(pods(pool)) == ["orch-1"])

    assert pods(pool)["orch-1"]["metadata"]["annotations"][Annotation.DRAIN_STARTED] == since[1]
    await work(pool, "orch-1", busy=False)
    await eventually(pool, "then the other", lambda: not pods(pool))


async def test_a_second_operator_waits_and_takes_over(
    pool: Workspace, operator: Operator, tmp_path: Path
) -> None:
    second = Operator(operator.node, pool.name, tmp_path / "second.log", operator.kubeconfig)
    second.start(wait=False)
    try:
        operator.kill()
        assert second.wait_ready(40) < 30
        pool.kubectl("scale", POOL, "--replicas=3")
        await eventually(pool, "grows", lambda: len(pods(pool)) == 3)
        assert second.stop() == 0
        # Given back, the Lease is taken at once.
        second.start(wait=False)
        assert second.wait_ready(20) < 15
    finally:
        if second.process is not None:
            second.stop()


async def test_a_settled_fleet_costs_no_writes(pool: Workspace) -> None:
    await eventually(pool, "load known", lambda: pool.get(POOL)["status"].get("sessions") == 0)
    await asyncio.sleep(6)
    before = pool.get(POOL)["metadata"]["resourceVersion"]
    versions = {name: each["metadata"]["resourceVersion"] for name, each in pods(pool).items()}
    await asyncio.sleep(20)

    assert pool.get(POOL)["metadata"]["resourceVersion"] == before
    now = {name: each["metadata"]["resourceVersion"] for name, each in pods(pool).items()}
    assert now == versions


def test_status_shows_who_drains_and_why(pool: Workspace, node: Node) -> None:
    pool.kubectl("delete", POOL, "--wait=true")
    apply_pool(pool, 1, drain={"settle": "1h"})
    pool.wait("condition=Ready", POOL, timeout_seconds=90)
    pool.kubectl("scale", POOL, "--replicas=0")
    pool.wait("jsonpath={.status.draining}=1", POOL)
    mediafleet = str(Path(sys.executable).parent / "mediafleet")
    table = node.run(mediafleet, "status", "-n", pool.name).stdout
    data = json.loads(node.run(mediafleet, "status", "-n", pool.name, "-o", "json").stdout)

    assert "draining" in table
    assert "scale_down" in table
    assert data[0]["draining"] == 1
    assert Kind(data[0]["kind"]) is Kind.ORCHESTRATOR_POOL
    with pytest.raises(CommandError):
        node.run(mediafleet, "status", "nobody", "-n", pool.name)
