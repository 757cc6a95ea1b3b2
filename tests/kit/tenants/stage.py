"""One release that serves two tenants, and the account, the plan and the process of one of them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml
from tests.kit.cluster.product import RELEASE, Product, deployed, redis_in
from tests.kit.cluster.scene import Scene
from tests.kit.fleets import manifests
from tests.kit.node.account import kubeconfig_of
from tests.kit.tenants.cgroup import limited, put
from tests.kit.tenants.plan import Plan
from tests.kit.tenants.victim import FLEET, POOL, Figures, use
from tests.kit.watching import api

from mediafleet_common.api.names import GROUP, Kind
from mediafleet_common.kube.account_tokens import pools_audience
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.paths import REPOSITORY
from mediafleet_testbed.story.waiting import until

CORES: Final = 0.5
"""Of the attacker's own processes."""
QUOTA: Final = "750m"
"""Of all its pods: its Redis, workers and advertisers."""
REQUESTS: Final = "350m"
"""The same, when the node is full. With the attacker's own half a core, the release's and the
victim's it makes about what two cores have."""
SHARED: Final = REPOSITORY / "docs/shared-clusters.yaml"
"""What an administrator gives each tenant."""
REDIS_CORES: Final = "250m"
POD_CORES: Final = "200m"
ADVERTISER_CPU: Final = "200m"
WORKER_CPU: Final = "200m"
"""Of each of the victim's egress pods: what they need for their part of each start. A user of a
shared node requests that, as the CPU goes by requests when all want it."""
READY_SECONDS: Final = 120.0
RESOURCES: Final = ("egressfleets", "orchestratorpools", "aiworkerpools")
ACCOUNT: Final = "attacker"
SETTINGS: Final = "settings"
_READING_SECONDS: Final = 2.0
"""An attacker reads its modules first, by half a core."""


@contextmanager
def release(
    node: Node, workspace: Workspace, evil: Workspace, settings: Mapping[str, Any] | None = None
) -> Iterator[Product]:
    """One release that serves both, each with a Redis of its own; `settings` are the desk's."""
    bounds = _bounds(workspace, evil)
    evil.apply(*bounds)
    redis_in(evil, {"requests": {"cpu": "50m"}, "limits": {"cpu": REDIS_CORES}})
    redises = [
        {"name": name, "addresses": [f"redis.{each}.svc:6379"], "namespaces": [each]}
        for name, each in (("main", workspace.name), ("theirs", evil.name))
    ]
    values = {
        "rbac": {"nodes": False},
        "watchNamespaces": [workspace.name, evil.name],
        "advertiser": {"cpu": ADVERTISER_CPU},
        "egress": {
            "redis": redises,
            "allowUndeclaredRedis": False,
            **_settings(workspace, settings or {}),
        },
    }
    try:
        with deployed(node, workspace, values) as product:
            yield product
    finally:
        for each in bounds:
            # Those of the cluster do not go with a namespace.
            if "namespace" not in each["metadata"]:
                node.kubectl("delete", each["kind"], each["metadata"]["name"])


def _settings(workspace: Workspace, egress: Mapping[str, Any]) -> dict[str, Any]:
    """Chart values by which a desk reads settings."""
    text = yaml.safe_dump({"egress": dict(egress)})
    meta = {"name": SETTINGS}
    workspace.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"settings.yaml": text}}
    )
    return {
        "extraVolumes": [{"name": SETTINGS, "configMap": meta}],
        "extraVolumeMounts": [{"name": SETTINGS, "mountPath": "/settings"}],
        "extraEnv": [{"name": "MEDIAFLEET_SETTINGS_FILE", "value": "/settings/settings.yaml"}],
    }


def _bounds(workspace: Workspace, evil: Workspace) -> list[dict[str, Any]]:
    """What the administrator of a shared cluster sets, with less CPU."""
    text = SHARED.read_text(encoding="utf-8")
    text = text.replace("TENANT", evil.name).replace("RELEASE", workspace.name)
    bounds: list[dict[str, Any]] = list(yaml.safe_load_all(text))
    by_kind = {each["kind"]: each for each in bounds}
    hard = by_kind["ResourceQuota"]["spec"]["hard"]
    hard |= {"limits.cpu": QUOTA, "requests.cpu": REQUESTS}
    # What a chart has just brought is not counted for minutes, and refused until it is.
    for each in [each for each in hard if each.endswith(GROUP)]:
        del hard[each]
    by_kind["LimitRange"]["spec"]["limits"][0]["default"]["cpu"] = POD_CORES
    return bounds


def _account(evil: Workspace, folder: Path) -> Path:
    """A kubeconfig of one who may do everything in the attacker's namespace."""
    name = {"name": ACCOUNT}
    rbac = "rbac.authorization.k8s.io"
    subjects = [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": evil.name}]
    role = {"apiGroup": rbac, "kind": "Role", "name": ACCOUNT}
    admin = {"apiGroup": rbac, "kind": "ClusterRole", "name": "admin"}
    rules = [
        {"apiGroups": [GROUP], "resources": list(RESOURCES), "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["*"]},
    ]
    evil.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": name},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": name, "rules": rules},
        *(
            {
                "apiVersion": f"{rbac}/v1",
                "kind": "RoleBinding",
                "metadata": {"name": f"{ACCOUNT}-{each['kind'].lower()}"},
                "roleRef": each,
                "subjects": subjects,
            }
            for each in (role, admin)
        ),
    )
    return kubeconfig_of(evil, ACCOUNT, folder / "attacker.kubeconfig")


def _stolen(product: Product, evil: Workspace) -> dict[str, str]:
    """Tokens that the attacker can make or read, by what they are."""

    def own(audience: str) -> str:
        words = ("--audience", audience, "--duration", "10m")
        return evil.kubectl("create", "token", ACCOUNT, *words).strip()

    return {
        "no token": "",
        "its own": own("mediafleet"),
        "its own for the victim's pools": own(pools_audience(product.namespace)),
        "the operator's, sent to its own pool": product.token(audience=pools_audience(evil.name)),
    }


async def plan_of(scene: Scene, evil: Workspace, folder: Path) -> Plan:
    """What the attacker knows; which attacks and for how long is to be said yet."""
    product = scene.product
    fleet = await scene.api.get(api.fleet(Kind.EGRESS_FLEET, scene.namespace, FLEET))
    own = await scene.api.get(api.fleet(Kind.EGRESS_FLEET, evil.name, "own"))
    labels = dict(next(pod for pod in scene.pods.of(FLEET) if pod.serving).labels)
    spellings = [product.redis, f"redis.{scene.namespace}.svc:6379", "redis:6379"]
    redis = evil.get("service", "redis")["spec"]["clusterIP"]
    return Plan(
        kubeconfig=str(_account(evil, folder)),
        namespace=evil.name,
        seconds=0.0,
        redis=f"{redis}:6379",
        spellings=[*spellings, f"redis.{scene.namespace}.svc.cluster.local:6379"],
        fleet_uid=fleet["metadata"]["uid"],
        own_uid=own["metadata"]["uid"],
        labels=labels,
        desk=await scene.service_address(f"{RELEASE}-egress"),
        advertiser=await scene.service_address(POOL),
        tokens=_stolen(product, evil),
        attacks=[],
    )


@dataclass(slots=True)
class Attack:
    """One that runs, or ran."""

    group: Path
    """Its cgroup."""
    told: dict[str, Any]
    """What the attacker tells at its end."""


@asynccontextmanager
async def attacked(
    scene: Scene, plan: Plan, attacks: Sequence[str], seconds: float, cores: float = CORES
) -> AsyncIterator[Attack]:
    """Under attack."""
    plan = replace(plan, attacks=list(attacks), seconds=seconds + _READING_SECONDS * 2)
    with limited(scene.product.node.instance, ACCOUNT, cores) as group:
        attack = Attack(group, {})
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.kit.tenants.attacks"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        put(group, process)
        telling = asyncio.create_task(process.communicate(json.dumps(asdict(plan)).encode()))
        try:
            await asyncio.sleep(_READING_SECONDS)
            yield attack
            text, _ = await telling
            attack.told.update(json.loads(text))
        finally:
            if process.returncode is None:
                process.kill()
            await asyncio.gather(telling, return_exceptions=True)


async def serving(scene: Scene, evil: Workspace) -> None:
    """Both have a fleet that places; the victim has a pool too."""
    await scene.create(manifests.egress_fleet(FLEET, {"ref": "main"}, 2, cpu=WORKER_CPU))
    await scene.create(manifests.orchestrator_pool(POOL, 2))
    theirs = manifests.egress_fleet("own", {"ref": "theirs"}, 1)
    evil.apply(theirs, manifests.orchestrator_pool("own", 0))
    for name in (FLEET, POOL):
        await scene.until_wanted(name, 2, 0, READY_SECONDS)
    await until("users are served", lambda: use(scene, 1, 0), _well, seconds=READY_SECONDS)


def _well(figures: Figures) -> bool:
    return bool(figures.placing) and not figures.refusals and len(figures.listing) > 2
