"""An AIWorkerPool in the operator: pods, drains that wait for tasks, status, scaling by queue."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from tests.kit.operator.cluster import Cluster

from mediafleet_common.api.ai_worker_pool import AIWorkerPoolSpec, Broker
from mediafleet_common.api.names import Kind, Reason
from mediafleet_common.api.shared import Template
from mediafleet_common.kube.client import Json
from mediafleet_common.reports.demand import FleetDemand, ModelDemand
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.manifests.overlay import InvalidTemplateError
from mediafleet_operator.manifests.pods.pod import Product, make_pod
from mediafleet_operator.manifests.resource import Resource, template_hash
from mediafleet_operator.rounds.desks.demand import Silence

POOL: Final = FleetKey(Kind.AI_WORKER_POOL, "media", "speech")
RUNNER: Final = {"name": "runner", "image": "runner:1"}
SPEC: Final[dict[str, Any]] = {
    "models": [{"pipeline": "audio-to-text", "model": "whisper", "capacity": 2}],
    "secret": {"name": "broker", "key": "secret"},
    "template": {"spec": {"containers": [RUNNER]}},
}
NAME: Final = "audio-to-text/whisper"


def pool(replicas: int = 2, **more: Any) -> Cluster:
    return Cluster(replicas, key=POOL, **SPEC | more)


def spec(**more: Any) -> AIWorkerPoolSpec:
    return AIWorkerPoolSpec.model_validate(SPEC | more)


def resource(given: AIWorkerPoolSpec) -> Resource:
    return Resource(POOL, "u", "1", 1, False, given, None)


def demand(waiting: int = 0, ready: int = 0, work: int = 0, **more: Any) -> FleetDemand:
    values: dict[str, Any] = {
        "kind": Kind.AI_WORKER_POOL,
        "namespace": "media",
        "name": "speech",
        "known": True,
        "at": 1.0,
        "ready": ready,
        "busy": min(ready, work),
        "work": work,
        "size": 2.0,
        "free": {NAME: max(0, ready * 2 - work)},
        "each": {NAME: 2},
        "queued": {NAME: waiting} if waiting else {},
        "own_room": True,
        "workers": ready,
        "models": {
            NAME: ModelDemand(
                capacity=2 * ready, in_use=work, waiting=waiting, missed=1, other_workers=3
            )
        },
    }
    return FleetDemand(**values | more)


def status(some: Cluster) -> Json:
    found: Json = some.server.objects[some.path]["status"]
    return found


async def test_each_pod_is_the_users_runner_and_our_worker_beside_it() -> None:
    some = pool()
    await some.settle()
    assert some.states == {"speech-0": "ready", "speech-1": "ready"}
    containers = {each["name"]: each for each in some.pods["speech-0"]["spec"]["containers"]}
    assert containers.keys() == {"worker", "runner"}
    args = containers["worker"]["args"]
    assert args[:3] == ["worker", "--broker", "broker.media.svc:8935"]
    assert "audio-to-text/whisper*2=http://127.0.0.1:8000" in args
    assert {"--pool-pod", "--wait-for-runners"} <= set(args)
    # Kubernetes ends neither before the worker has no task.
    assert containers["runner"]["lifecycle"] == containers["worker"]["lifecycle"]
    assert containers["runner"]["lifecycle"]["preStop"]["httpGet"]["path"] == "/hold"


async def test_a_pod_with_tasks_leaves_only_once_it_has_none() -> None:
    some = pool(2)
    await some.settle()
    some.jobs = {"speech-0": 1, "speech-1": 2}
    await some.settle(4)
    some.server.put(some.path, {"spec": {"replicas": 1}})
    await some.settle(30)
    assert sorted(some.states.values()) == ["draining", "ready"]
    (leaving,) = [name for name, state in some.states.items() if state == "draining"]
    assert status(some)["draining"] == 1
    some.jobs[leaving] = 0
    await some.settle(12)
    assert some.states.keys() == {"speech-0", "speech-1"} - {leaving}


async def test_a_drain_is_taken_back_when_the_pod_is_wanted_again() -> None:
    some = pool(2)
    await some.settle()
    some.jobs = {"speech-0": 1, "speech-1": 1}
    await some.settle(4)
    some.server.put(some.path, {"spec": {"replicas": 1}})
    await some.settle(5)
    some.server.put(some.path, {"spec": {"replicas": 2}})
    await some.settle(5)
    assert some.states == {"speech-0": "ready", "speech-1": "ready"}


async def test_the_status_shows_what_the_broker_tells() -> None:
    some = pool(2)
    some.asked.demand = demand(waiting=4, ready=2, work=3)
    some.jobs = {"speech-0": 1, "speech-1": 2}
    await some.settle(20)
    told = status(some)
    assert (told["workers"], told["inUse"], told["waiting"], told["missed"]) == (2, 3, 4, 1)
    assert told["models"] == [
        {"name": NAME, "capacity": 4, "inUse": 3, "waiting": 4, "missed": 1, "otherWorkers": 3}
    ]
    assert some.asked.url == "http://broker:8080/demand"


async def test_what_the_broker_does_not_tell_is_absent_and_not_zero() -> None:
    some = pool(1)
    some.asked.demand = Silence(Reason.DESK_UNREACHABLE, "away")
    await some.settle(20)
    assert {"workers", "waiting", "missed"}.isdisjoint(status(some))
    assert status(some).get("models", []) == []


async def test_a_pool_goes_from_zero_to_what_waits_and_back() -> None:
    scaling = {"min": 0, "max": 5, "coolDown": "10s", "buffer": {"slots": 0}}
    scaling["behavior"] = {"scaleDown": {"stabilization": "0s"}}
    some = pool(0, autoscaling=scaling)
    some.poller.demand = demand()
    await some.settle(20)
    assert some.pods == {}
    some.poller.demand = demand(waiting=5)
    await some.settle()
    assert len(some.pods) == 3
    assert some.poller.url == "http://broker:8080/demand"
    some.poller.demand = demand(ready=3)
    await some.settle(60)
    assert some.pods == {}


def test_the_pod_says_what_it_needs_of_broker_models_and_certificate() -> None:
    given = spec(
        broker={"address": "b.example.com:8935", "serverName": "broker"},
        ca={"name": "broker-ca", "key": "ca.crt"},
        models=[
            {"pipeline": "llm", "model": "org/m:7b", "warm": False, "port": 9000, "capacity": 4}
        ],
    )
    pod = make_pod(resource(given), 0, Product("ours"))["spec"]
    args = " ".join(pod["containers"][0]["args"])
    assert "--broker b.example.com:8935" in args
    assert "--runner llm/org/m:7b*4=http://127.0.0.1:9000 --cold llm/org/m:7b" in args
    assert "--server-name broker --ca /mediafleet/ca/ca.crt" in args
    named = {each["name"]: each["secret"]["secretName"] for each in pod["volumes"]}
    assert named == {"mediafleet-secret": "broker", "mediafleet-ca": "broker-ca"}


@pytest.mark.parametrize(
    ("given", "product", "why"),
    [
        (spec(template={}), Product("ours", broker=Broker(address="b:1")), "has no runner"),
        (spec(), Product("ours"), "spec.broker is missing"),
    ],
)
def test_no_pod_is_made_without_a_runner_or_a_broker(
    given: AIWorkerPoolSpec, product: Product, why: str
) -> None:
    with pytest.raises(InvalidTemplateError, match=why):
        make_pod(resource(given), 0, product)


def stock_pod(**more: Any) -> dict[str, Any]:
    given = spec(stock_worker={"image": "livepeer:1"}, **more)
    return make_pod(resource(given), 0, Product("ours", broker=Broker(address="b:1")))


def test_a_stock_worker_registers_at_ours_in_the_pod_and_knows_the_runners() -> None:
    pod = stock_pod()
    ours, stock, runner = pod["spec"]["containers"]
    assert (ours["name"], stock["name"], runner["name"]) == ("worker", "stock-worker", "runner")
    where = ours["args"][ours["args"].index("--stock-worker") + 1]
    assert where.startswith("127.0.0.1:")
    assert f"-orchAddr={where}" in stock["args"]
    assert "-orchSecret=$(POD_UID)" in stock["args"]
    environment = {each["name"]: each.get("value") for each in stock["env"]}
    docker = ours["args"][ours["args"].index("--docker") + 1]
    assert environment["DOCKER_HOST"] == f"tcp://{docker}"
    # Its models are a file of the pod's annotation.
    (models,) = json.loads(pod["metadata"]["annotations"]["mediafleet.dev/ai-models"])
    assert models == {
        "pipeline": "audio-to-text",
        "model_id": "whisper",
        "url": "http://127.0.0.1:8000",
        "capacity": 2,
        "warm": True,
    }
    volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
    (item,) = volumes["mediafleet-ai-models"]["downwardAPI"]["items"]
    assert item["fieldRef"]["fieldPath"] == "metadata.annotations['mediafleet.dev/ai-models']"
    assert f"-aiModels=/mediafleet/models/{item['path']}" in stock["args"]


def test_a_stock_worker_lives_as_our_worker_says_and_ends_with_the_pods_last_task() -> None:
    ours, stock, _ = stock_pod()["spec"]["containers"]
    probe = stock["livenessProbe"]
    (port,) = (each["containerPort"] for each in ours["ports"])
    assert probe["httpGet"] == {"path": "/stock-worker", "port": port}
    # It has stopped: nothing of it is waited for as long as for a pod that drains.
    assert probe["terminationGracePeriodSeconds"] == 30
    # Longer than it waits for the runners before it registers.
    assert probe["initialDelaySeconds"] > 120
    assert stock["lifecycle"]["preStop"]["httpGet"] == {"path": "/stock-worker/hold", "port": port}


def test_a_template_may_change_the_stock_worker_but_not_what_it_serves() -> None:
    template = {
        "metadata": {"annotations": {"example.com/a": "b"}},
        "spec": {"containers": [RUNNER, {"name": "stock-worker", "image": "livepeer:2"}]},
    }
    pod = stock_pod(template=template)
    assert pod["spec"]["containers"][1]["image"] == "livepeer:2"
    assert pod["spec"]["containers"][1]["args"][0] == "-aiWorker"
    assert pod["metadata"]["annotations"]["example.com/a"] == "b"


def test_a_stock_worker_is_no_runner() -> None:
    with pytest.raises(InvalidTemplateError, match="has no runner"):
        stock_pod(template={})


def test_without_a_stock_worker_a_pod_has_nothing_of_it() -> None:
    pod = make_pod(resource(spec()), 0, Product("ours", broker=Broker(address="b:1")))
    assert [each["name"] for each in pod["spec"]["containers"]] == ["worker", "runner"]
    assert "mediafleet.dev/ai-models" not in pod["metadata"]["annotations"]
    assert "--stock-worker" not in pod["spec"]["containers"][0]["args"]


def test_a_runners_own_hook_stays() -> None:
    hook = {"preStop": {"exec": {"command": ["true"]}}}
    own = {"spec": {"containers": [{**RUNNER, "lifecycle": hook}]}}
    pod = make_pod(resource(spec(template=own)), 0, Product("ours", broker=Broker(address="b:1")))
    assert pod["spec"]["containers"][1]["lifecycle"] == hook


@pytest.mark.parametrize(
    ("change", "replaced"),
    [
        ({"models": [{"pipeline": "llm", "model": "m"}]}, True),
        ({"secret": {"name": "other", "key": "secret"}}, True),
        ({"broker": {"address": "b:1"}}, True),
        ({"stock_worker": {"image": "livepeer:1"}}, True),
        ({"template": {"spec": {"containers": [{**RUNNER, "image": "runner:2"}]}}}, True),
        ({"replicas": 9}, False),
        ({"drain": {"settle": "9s"}}, False),
        ({"autoscaling": {"max": 3}}, False),
    ],
)
def test_only_what_goes_into_a_pod_replaces_pods(change: dict[str, Any], replaced: bool) -> None:
    assert (template_hash(spec(**change)) != template_hash(spec())) is replaced


def test_an_absent_settle_time_is_five_seconds() -> None:
    assert spec().settle_seconds == 5
    assert spec(drain={"settle": "2s"}).settle_seconds == 2
    assert spec().template == Template.model_validate(SPEC["template"])
