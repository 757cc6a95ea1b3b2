"""Engine `builtin` on a real node, installed by the chart: demand to pods, to zero and back."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.kit.cluster.product import Product, deployed
from tests.kit.cluster.scene import Scene, watched
from tests.kit.fleets import manifests
from tests.kit.fleets.users import Begun, Recorders, end_for_certain
from tests.kit.watching import api
from tests.kit.watching.verdicts import judge

from mediafleet_common.api.names import Kind, Port
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

SECONDS: Final = 90.0
TRACKS_PER_POD: Final = 3
"""By CPU as well, as long as they are young: a pod of 2 takes tracks of 0.5 up to 80 %. What it is
measured to use later would let in a fourth where a full machine made the third come late."""
POLICY: Final = {
    "max": 4,
    "buffer": {"slots": 1, "type": "track"},
    "coolDown": "8s",
    "behavior": {"scaleDown": {"stabilization": "5s"}},
}

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def product(node: Node, workspace: Workspace) -> Iterator[Product]:
    with deployed(
        node, workspace, {"reports": {"accounts": [f"{workspace.name}/viewer"]}}
    ) as product:
        yield product


@pytest.fixture
async def scene(product: Product) -> AsyncIterator[Scene]:
    async with watched(product) as scene:
        yield scene


def fleet(redis: str, **autoscaling: Any) -> dict[str, Any]:
    made = manifests.egress_fleet(
        *("rec", redis, 1),
        env={"STANDIN_CPUS": "2"},
        placement={"mode": "pack", "cpu": 2, "limits": {"track": TRACKS_PER_POD}},
        accepts=["track"],
        autoscaling={**POLICY, **autoscaling},
    )
    del made["spec"]["replicas"]
    return made


async def until_count(scene: Scene, count: int, seconds: float = SECONDS) -> None:
    """Wait until the resource asks for so many pods."""
    await until(
        f"spec.replicas is {count}",
        lambda: scene.api.get(api.fleet(Kind.EGRESS_FLEET, scene.namespace, "rec")),
        lambda resource: resource["spec"].get("replicas") == count,
        seconds=seconds,
    )


async def begun(users: Recorders, count: int) -> list[Begun]:
    jobs = await asyncio.gather(*(users.begin() for _ in range(count)))
    assert users.refusals == []
    return list(jobs)


async def condition(scene: Scene) -> dict[str, Any]:
    status = await scene.status(Kind.EGRESS_FLEET, "rec")
    found = {each["type"]: each for each in status.get("conditions", [])}
    return dict(found.get("ScalingActive", {}))


async def test_pods_follow_jobs_up_and_down_and_no_busy_one_is_deleted(scene: Scene) -> None:
    await scene.create(fleet(scene.product.redis))
    await scene.until_wanted("rec", 1, 0, SECONDS)
    users = scene.recorders("track", random.Random(5))
    jobs = await begun(users, TRACKS_PER_POD - 1)
    await until_count(scene, 1)
    jobs += await begun(users, 1)
    await until_count(scene, 2)
    await scene.until_wanted("rec", 2, 0, SECONDS)
    assert (await condition(scene))["status"] == "True"
    status = await scene.status(Kind.EGRESS_FLEET, "rec")
    assert status["autoscaling"]["replicas"] == 2
    assert "3 running" in status["autoscaling"]["why"]

    for job in jobs:
        await end_for_certain(job, scene.logs)
    await until_count(scene, 1)
    await scene.until_drained("rec", 1, SECONDS)
    scene.logs.read()
    assert judge(scene.deletions(0.0), scene.logs.jobs, manifests.DRAIN_TIMEOUT_SECONDS) == []


async def test_a_fleet_sleeps_and_the_first_request_wakes_it_and_is_served(scene: Scene) -> None:
    await scene.create(fleet(scene.product.redis, min=0))
    await until_count(scene, 0)
    await scene.until_drained("rec", 0, SECONDS)
    users = scene.recorders("track", random.Random(6))
    job = await users.begin()
    await until_count(scene, 1)
    assert users.refusals == []
    await end_for_certain(job, scene.logs)
    await until_count(scene, 0)


async def test_a_recording_that_is_lost_with_its_pod_is_told_in_an_event_and_in_logs_why(
    scene: Scene, tmp_path: Path
) -> None:
    await scene.create(fleet(scene.product.redis))
    await scene.until_wanted("rec", 1, 0, SECONDS)
    [job] = await begun(scene.recorders("track", random.Random(8)), 1)
    at_once = ("--grace-period=0", "--force")
    scene.product.workspace.kubectl("delete", "pod", "rec-0", *at_once)
    await until(
        "the desk says that a job is lost",
        lambda: scene.api.get(f"/apis/events.k8s.io/v1/namespaces/{scene.namespace}/events"),
        lambda found: "JobsLost" in {each["reason"] for each in found["items"]},
        seconds=SECONDS,
    )
    said = await why(scene, viewer(scene, tmp_path), job.job_id)
    assert "on rec-0" in said, said
    assert "no Events" not in said, said
    assert "JobsLost" in said, said


def viewer(scene: Scene, folder: Path) -> Path:
    """A kubeconfig of an account that has the documented rights of `logs --why` and no more."""
    kubectl, name = scene.product.workspace.kubectl, f"{scene.namespace}:viewer"
    kubectl("create", "serviceaccount", "viewer")
    kubectl("create", "role", "viewer", "--verb=list", "--resource=events.events.k8s.io")
    kubectl("create", "rolebinding", "viewer", "--role=viewer", f"--serviceaccount={name}")
    config = yaml.safe_load(scene.product.node.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": kubectl("create", "token", "viewer").strip()}
    path = folder / "viewer.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


async def why(scene: Scene, kubeconfig: Path, job: str) -> str:
    """`mediafleet logs --why`, as that account runs it."""
    desk = f"http://{await scene.service_address('mediafleet-egress')}:{Port.DESK_HTTP}"
    token = scene.product.token("viewer")
    done = await asyncio.to_thread(
        subprocess.run,
        [
            *(sys.executable, "-m", "mediafleet.main", "logs", "--why", job, "--desk", desk),
            *("--token", token, "--kubeconfig", str(kubeconfig)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_while_the_desk_is_away_the_pods_stay(scene: Scene) -> None:
    await scene.create(fleet(scene.product.redis))
    await scene.until_wanted("rec", 1, 0, SECONDS)
    users = scene.recorders("track", random.Random(7))
    jobs = await begun(users, TRACKS_PER_POD)
    await scene.until_wanted("rec", 2, 0, SECONDS)
    desk = f"/apis/apps/v1/namespaces/{scene.namespace}/deployments/mediafleet-egress/scale"
    await scene.api.patch(desk, {"spec": {"replicas": 0}})
    await until(
        "the condition says that the desk is away",
        lambda: condition(scene),
        lambda found: found.get("reason") == "DeskUnreachable",
        seconds=SECONDS,
    )
    for job in jobs:
        await end_for_certain(job, scene.logs)
    with pytest.raises(Exception, match="not within"):
        await until_count(scene, 1, seconds=15)
    await scene.api.patch(desk, {"spec": {"replicas": 1}})
    await until_count(scene, 1)
