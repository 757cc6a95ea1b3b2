"""Real KEDA scales a fleet by what the desks say: from zero and back, and never blind.

Figures are printed; what is asserted is the order of things, since times say as much of the
machine as of the product.
"""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import grpc
import grpc.aio
import pytest
from tests.kit.cluster import ai_workers
from tests.kit.cluster.keda import (
    COOL_DOWN_SECONDS,
    FLEET,
    HELD_SECONDS,
    PER_POD,
    SCALED,
    SECONDS,
    Setting,
    Stage,
    told_by_desks,
)
from tests.kit.cluster.product import RELEASE, upgrade
from tests.kit.cluster.scene import Scene, watched
from tests.kit.figures import Show
from tests.kit.fleets import manifests
from tests.kit.fleets.changes import NewTemplate
from tests.kit.fleets.users import Begun, end_for_certain
from tests.kit.watching import api
from tests.kit.watching.replicas import ReplicaWatch

from mediafleet_common.api.names import Kind, Port
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_common.wire import scaler_pb2 as wire
from mediafleet_scheduler.scaler.service import SERVICE
from mediafleet_testbed.story.waiting import until

PUSHED: Final = {"rpc": "StreamIsActive"}
ANSWERED: Final = {"rpc": "GetMetrics", "code": "OK"}

pytestmark = pytest.mark.timeout(420)


async def test_from_zero_to_what_is_needed_and_back_with_every_job_finished(
    stage: Stage, show: Show
) -> None:
    asked = time.time()
    assert stage.replicas.now(FLEET) == 0
    (first,) = await stage.begin(1)
    served = time.time()
    assert stage.replicas.counts(FLEET, asked) == [1]
    woken = stage.replicas.of(FLEET, asked)[0].at

    # 1 -> N in one step, to just what is needed.
    loaded = time.time()
    more = await stage.begin(2 * PER_POD + 1)
    assert stage.replicas.counts(FLEET, loaded) == [3]
    grown = stage.replicas.of(FLEET, loaded)[0].at

    # One job keeps one pod, for longer than the cool-down.
    await stage.end(*more)
    await stage.replicas.until(FLEET, lambda count: count == 1, SECONDS)
    await asyncio.sleep(HELD_SECONDS)
    assert stage.replicas.now(FLEET) == 1
    ended = time.time()
    await stage.end(first)
    zero = (await stage.replicas.until(FLEET, lambda count: count == 0, SECONDS)).at
    await stage.scene.pods.until("no pod is left", lambda: not stage.scene.pods.of(FLEET), SECONDS)
    stage.safe(asked)
    show(
        f"KEDA: 0 -> 1 asked after {woken - asked:.2f} s, first job served after "
        f"{served - asked:.2f} s; 1 -> 3 after {grown - loaded:.1f} s; "
        f"1 -> 0 {zero - ended:.1f} s after the last job"
    )


async def test_desks_that_are_away_and_a_pause_hold_the_replicas(stage: Stage) -> None:
    jobs = await stage.begin(PER_POD + 1)
    await stage.replicas.until(FLEET, lambda count: count == 2, SECONDS)
    await stage.until_ready(2)
    await each_desk_alone_says(stage, len(jobs))

    # Both desks are away for longer than the cool-down, and all jobs end meanwhile.
    since = time.time()
    workspace, pods = stage.setting.product.workspace, stage.scene.pods
    desk, desks = f"deployment/{RELEASE}-egress", pods.component("egress")
    workspace.kubectl("scale", desk, "--replicas=0")
    try:
        # A desk that stops goes on telling what it knows until its Service has forgotten it.
        await pods.until("no desk is left", lambda: all(each.gone_at for each in desks), SECONDS)
        await stage.end(*jobs)
        await asyncio.sleep(HELD_SECONDS)
        assert stage.replicas.counts(FLEET, since) == []
    finally:
        workspace.kubectl("scale", desk, "--replicas=2")
    await stage.replicas.until(FLEET, lambda count: count == 0, SECONDS)
    stage.safe(since)

    await stage.pause("true")
    await asyncio.sleep(2)
    paused = time.time()
    asking = asyncio.create_task(stage.begin(1))
    await asyncio.sleep(6)
    assert stage.replicas.counts(FLEET, paused) == []
    await stage.pause(None)
    jobs = await asking
    assert stage.replicas.counts(FLEET, paused) == [1]
    await stage.end(*jobs)


async def each_desk_alone_says(stage: Stage, jobs: int) -> None:
    """The same, to those with KEDA's certificate; to others nothing."""
    scene = stage.scene
    desks = [pod.ip or "" for pod in scene.pods.component("egress")]
    assert len(desks) == 2
    secret = scene.product.workspace.get("secret", f"{RELEASE}-scaler-client")["data"]
    files = {name: base64.b64decode(text) for name, text in secret.items()}
    credentials = grpc.ssl_channel_credentials(files["ca.crt"], files["tls.key"], files["tls.crt"])
    host = f"{RELEASE}-egress.{scene.namespace}.svc"
    for desk in desks:
        await until(
            "a desk tells of all jobs, and of nobody who waits",
            partial(told, scene, desk),
            # A place that was kept for a retry counts until the other desk's news of its start.
            lambda demand: demand.known and demand.work == jobs and not demand.queued,
        )
        async with calling(desk, host, credentials) as channel:
            assert await value(channel, scene.namespace) == float(jobs)
        for poor in (None, grpc.ssl_channel_credentials(files["ca.crt"])):
            async with calling(desk, host, poor) as channel:
                with pytest.raises(grpc.aio.AioRpcError):
                    await value(channel, scene.namespace)


@asynccontextmanager
async def calling(
    pod_ip: str, host: str, credentials: grpc.ChannelCredentials | None
) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to the scaler of one desk, under the name that KEDA knows."""
    address = f"{pod_ip}:{Port.SCALER}"
    if credentials is None:
        async with grpc.aio.insecure_channel(address) as channel:
            yield channel
    else:
        name = (("grpc.ssl_target_name_override", host),)
        async with grpc.aio.secure_channel(address, credentials, name) as channel:
            yield channel


async def value(channel: grpc.aio.Channel, namespace: str) -> float:
    metadata = {"fleet": FLEET, "metric": "sessions", "target": "1"}
    request = wire.GetMetricsRequest(
        ref=wire.ScaledObjectRef(name=SCALED, namespace=namespace, metadata=metadata)
    )
    call = channel.unary_unary(
        f"/{SERVICE}/GetMetrics",
        request_serializer=wire.GetMetricsRequest.SerializeToString,
        response_deserializer=wire.GetMetricsResponse.FromString,
    )
    return float((await call(request, timeout=5)).values[0].value_float)


async def told(scene: Scene, desk: str) -> FleetDemand:
    """What a desk says of the fleet over HTTP."""
    demand = await scene.demand(desk)
    (found,) = [each for each in demand.fleets if each.name == FLEET]
    return found


async def test_a_pool_is_scaled_by_its_own_advertiser_until_another_engine_does_so(
    setting: Setting,
) -> None:
    autoscaling = {
        "engine": "keda",
        "min": 1,
        "max": 3,
        "metric": "sessions",
        "target": 1,
        "behavior": {"scaleDown": {"stabilization": "0s"}},
    }
    pool = manifests.orchestrator_pool("orch", 1, autoscaling=autoscaling)
    async with watched(setting.product) as scene:
        kind = Kind.ORCHESTRATOR_POOL
        async with ReplicaWatch(scene.api, kind, scene.namespace) as replicas:
            await scene.create(pool)
            await until(
                "KEDA follows the pool",
                lambda: scene.status(kind, "orch"),
                lambda status: scaling_active(status) == "True",
                seconds=SECONDS,
            )
            gateway = await scene.gateway("orch", random.Random(6))
            jobs: list[Begun] = []
            while len(jobs) < 2:
                begun = await gateway.begin()
                jobs += [begun] if begun is not None and begun.agreed else []
            await replicas.until("orch", lambda count: count == 2, SECONDS)
            for job in jobs:
                await end_for_certain(job, scene.logs)
            await hands_over(scene)
        await scene.api.delete(api.fleet(kind, scene.namespace, "orch"))
        await scene.pods.until("no pod is left", lambda: not scene.pods.of("orch"), SECONDS)


async def hands_over(scene: Scene) -> None:
    """Another engine writes the number from here on, and KEDA's object is taken away."""
    path = api.fleet(Kind.ORCHESTRATOR_POOL, scene.namespace, "orch")
    no_more = {"metric": None, "target": None, "engine": "builtin"}
    await scene.api.patch(path, {"spec": {"autoscaling": no_more}})
    scaled = f"/apis/keda.sh/v1alpha1/namespaces/{scene.namespace}/scaledobjects"
    await until(
        "no ScaledObject follows the pool",
        lambda: scene.api.get(scaled),
        lambda found: all(
            each["spec"]["scaleTargetRef"]["name"] != "orch" for each in found["items"]
        ),
        seconds=SECONDS,
    )


async def test_a_pool_of_ai_workers_goes_from_zero_to_three_and_back_and_loses_no_task(
    setting: Setting,
) -> None:
    kind, made = Kind.AI_WORKER_POOL, ai_workers.pool()
    made["spec"]["autoscaling"] |= {"engine": "keda", "coolDown": f"{COOL_DOWN_SECONDS}s"}
    async with watched(setting.product) as scene:
        await scene.create(made)
        await until(
            "KEDA follows the pool",
            lambda: scene.status(kind, ai_workers.POOL),
            lambda status: scaling_active(status) == "True",
            seconds=SECONDS,
        )
        url = f"http://{await scene.service_address(f'{RELEASE}-broker')}:8080"
        enough = asyncio.Event()
        calling = [
            asyncio.create_task(ai_workers.keep_saying(url, number, enough))
            for number in range(ai_workers.TASKS + 2)
        ]
        await until(
            "three pods are wanted",
            lambda: scene.status(kind, ai_workers.POOL),
            lambda status: status.get("replicas") == 3,
            seconds=SECONDS,
        )
        # A new template while callers wait.
        await scene.change(kind, ai_workers.POOL, NewTemplate(1))
        await scene.until_wanted(ai_workers.POOL, 3, 1, SECONDS)
        enough.set()
        assert all(await asyncio.gather(*calling))
        await scene.until_drained(ai_workers.POOL, 0, SECONDS)
        await scene.api.delete(api.fleet(kind, scene.namespace, ai_workers.POOL))


def scaling_active(status: dict[str, Any]) -> str | None:
    found = {each["type"]: each["status"] for each in status.get("conditions") or ()}
    return found.get("ScalingActive")


async def test_an_upgrade_keeps_certificates_until_they_are_old_and_keda_takes_up_new_ones(
    stage: Stage, show: Show
) -> None:
    product, secret = stage.setting.product, f"{RELEASE}-scaler"
    kubectl = product.workspace.kubectl

    def held() -> list[dict[str, str]]:
        names = (secret, f"{secret}-client", f"{secret}-pools")
        return [product.workspace.get("secret", name)["data"] for name in names]

    before = held()
    await asyncio.to_thread(upgrade, product)
    assert held() == before

    kubectl("annotate", "secret", secret, "mediafleet.dev/made=0", "--overwrite")
    await asyncio.to_thread(upgrade, product)
    after = held()
    assert all(new["tls.crt"] != old["tls.crt"] for new, old in zip(after, before, strict=True))
    assert len({each["ca.crt"] for each in after}) == 1, "all of one authority"
    await asyncio.to_thread(upgrade, product)
    assert held() == after, "they are new now"

    # Desks that start now have the new ones only: whoever goes on with the old ones is refused. The
    # operator, which hears of it from the first of them, has KEDA read its own anew.
    old = {pod.uid for pod in stage.scene.pods.component("egress")}
    desk = f"deployment/{RELEASE}-egress"
    kubectl("rollout", "restart", desk)
    rollout = ("rollout", "status", desk, f"--timeout={SECONDS:.0f}s")
    await asyncio.to_thread(kubectl, *rollout, timeout_seconds=SECONDS + 10)
    renewed, trusted = time.time(), list[float]()
    for metric, labels in (
        ("mediafleet_scaler_streams", PUSHED),
        ("mediafleet_scaler_requests_total", ANSWERED),
    ):
        await until(
            "the new desks push to KEDA, and it is answered by them",
            partial(told_by_desks, stage.scene, metric, labels, old),
            lambda count: count > 0,
            seconds=SECONDS,
        )
        trusted.append(time.time())
    asked = time.time()
    jobs = await stage.begin(1)
    woken = stage.replicas.of(FLEET, asked)[0].at
    await stage.end(*jobs)
    pushed, answered = (at - renewed for at in trusted)
    show(
        f"new certificates: {pushed:.1f} s after the last desk was Ready with them KEDA's push "
        f"stream is back, after {answered:.1f} s it is answered; 0 -> 1 asked after "
        f"{woken - asked:.1f} s"
    )
