"""What we rely on of an API server, one behaviour each, on an API server alone.

docs/versions.md lists them. `make kubernetes MINORS=1.35` runs them on another minor version.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.kit.fleets.manifests import egress_fleet
from tests.kit.node.operating import ROOT
from tests.kit.watching.api import Api, ApiRefusedError

from mediafleet_common.api.names import API_VERSION, PLURALS, Kind
from mediafleet_testbed.cluster.api_server import api_server
from mediafleet_testbed.tools.recipes import TOOLS

NAMESPACE: Final = "/api/v1/namespaces/default"
PODS: Final = f"{NAMESPACE}/pods"
BUDGETS: Final = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FLEETS: Final = f"/apis/{API_VERSION}/namespaces/default/{PLURALS[Kind.EGRESS_FLEET]}"
Json = dict[str, Any]

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with api_server(tmp_path_factory.mktemp("api-server")) as file:
        yield file


@pytest.fixture
async def api(kubeconfig: Path) -> AsyncIterator[Api]:
    async with Api(kubeconfig) as api:
        yield api


async def code(answer: Any) -> int:
    """The status with which a request is refused; 0: it is not."""
    try:
        await answer
    except ApiRefusedError as error:
        return error.status
    return 0


def pod(name: str, **spec: Any) -> Json:
    container = {"name": "c", "image": "none", **spec}
    labels = {"app": name}
    meta = {"name": name, "labels": labels}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": {"containers": [container]},
    }


async def running(api: Api, name: str, *, ready: bool) -> Json:
    """A pod that a kubelet has started, by its status."""
    await api.post(PODS, pod(name))
    conditions = [{"type": "Ready", "status": str(ready)}]
    status = {"phase": "Running", "conditions": conditions}
    made: Json = await api.patch(f"{PODS}/{name}/status", {"status": status})
    return made


async def budget(api: Api, name: str, healthy: int | None, **more: Any) -> None:
    """A budget that spares no pod, as the disruption controller has written it; healthy is `None`:
    as that has not seen it yet."""
    spec = {"maxUnavailable": 0, "selector": {"matchLabels": {"app": name}}, **more}
    body = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}}
    await api.post(BUDGETS, {**body, "spec": spec})
    counts = {"currentHealthy": healthy, "desiredHealthy": 1, "expectedPods": 1}
    if healthy is None:
        return
    status = {"observedGeneration": 1, "disruptionsAllowed": 0, **counts}
    await api.patch(f"{BUDGETS}/{name}/status", {"status": status})


async def evict(api: Api, name: str) -> int:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    return await code(api.post(f"{PODS}/{name}/eviction", body))


async def test_it_is_of_the_version_that_was_asked_for(api: Api) -> None:
    said = await api.get("/version")
    wanted = TOOLS["kube-apiserver"].version
    print(f"API server {said['gitVersion']}")
    assert said["gitVersion"] == wanted
    assert f"v{said['major']}.{said['minor']}" == ".".join(wanted.split(".")[:2])


async def test_an_apply_without_force_does_not_take_what_is_somebody_elses(api: Api) -> None:
    def of(value: str) -> Json:
        meta = {"name": "applied"}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"key": value}}

    async def apply(manager: str, value: str, force: str) -> int:
        query = {"fieldManager": manager, "force": force}
        path, kind = f"{NAMESPACE}/configmaps/applied", "application/apply-patch+yaml"
        return await code(api._ask("PATCH", path, of(value), kind, query))

    assert await apply("somebody", "theirs", "false") == 0
    assert await apply("mediafleet", "ours", "false") == 409
    assert await apply("mediafleet", "ours", "true") == 0


async def test_a_write_of_an_older_version_or_of_another_object_is_refused(api: Api) -> None:
    made = (await api.post(PODS, pod("versions")))["metadata"]
    path, label = f"{PODS}/versions", {"labels": {"a": "b"}}
    changed = (await api.patch(path, {"metadata": label}))["metadata"]

    now = {"uid": made["uid"], "resourceVersion": changed["resourceVersion"]}
    for wrong in ({"uid": "another"}, {"resourceVersion": made["resourceVersion"]}):
        held = {**now, **wrong}
        assert await code(api.delete(path, {"preconditions": held})) == 409
    old = {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}
    assert await code(api.patch(path, {"metadata": {**old, "labels": {"a": "c"}}})) == 409
    assert await code(api.delete(path, {"preconditions": now, "gracePeriodSeconds": 0})) == 0


async def test_a_watch_tells_what_came_after_its_version(api: Api) -> None:
    path, query = f"{NAMESPACE}/configmaps", {"timeoutSeconds": "3"}
    version = (await api.get(path))["metadata"]["resourceVersion"]
    await api.post(path, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "newer"}})
    came = [what async for what, _ in api.watch(path, resourceVersion=version, **query)]
    assert came == ["ADDED"]


@pytest.mark.parametrize(("name", "healthy"), [("busy", 1), ("just-busy", None)])
async def test_a_busy_pod_is_not_evicted_while_its_budget_forbids_it_however_new_that_is(
    api: Api, name: str, healthy: int | None
) -> None:
    await running(api, name, ready=True)
    await budget(api, name, healthy)

    assert await evict(api, name) == 429


async def test_a_pod_that_is_not_ready_may_go_where_the_budget_says_so(api: Api) -> None:
    await running(api, "broken", ready=False)
    await budget(api, "broken", 0, unhealthyPodEvictionPolicy="AlwaysAllow")

    assert await evict(api, "broken") == 0


async def test_a_container_may_sleep_before_it_is_stopped(api: Api) -> None:
    sleeps = {"preStop": {"sleep": {"seconds": 5}}}
    made = await api.post(f"{PODS}?fieldValidation=Strict", pod("sleeper", lifecycle=sleeps))

    assert made["spec"]["containers"][0]["lifecycle"] == sleeps


async def test_our_definitions_are_taken_and_their_rules_are_held(api: Api) -> None:
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        await api.post(f"{DEFINITIONS}?fieldValidation=Strict", yaml.safe_load(file.read_text()))
    await established(api)
    good, bad = egress_fleet("rec", "redis:6379", 1), egress_fleet("bad", "redis:6379", 1)
    bad["spec"]["redis"] |= {"ref": {"name": "and-that"}}

    assert await code(api.post(FLEETS, good)) == 0
    with pytest.raises(ApiRefusedError, match=re.compile(r"redis", re.I)) as refused:
        await api.post(FLEETS, bad)
    assert refused.value.status == 422
    scaled = await api.patch(f"{FLEETS}/rec/scale", {"spec": {"replicas": 3}})
    assert scaled["spec"]["replicas"] == 3


async def established(api: Api) -> None:
    """Wait until the definitions are served."""
    waiting = set(PLURALS.values())
    async for _, raw in api.watch(DEFINITIONS):
        conditions = {
            each["type"]: each["status"] for each in raw["status"].get("conditions") or ()
        }
        if conditions.get("Established") == "True":
            waiting.discard(raw["spec"]["names"]["plural"])
        if not waiting:
            return
    raise AssertionError(json.dumps(sorted(waiting)))
