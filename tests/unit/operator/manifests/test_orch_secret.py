"""A node is never without -orchSecret, and nobody can guess or read it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from tests.kit.operator.kube_server import KubeServer
from tests.unit.operator.manifests.test_pods import PRODUCT, container, pool

from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_common.clock import Clock
from mediafleet_common.kube.client import Api
from mediafleet_operator.core.fleet.state import FleetState
from mediafleet_operator.kube.children import Children, Needs
from mediafleet_operator.manifests.overlay import InvalidTemplateError
from mediafleet_operator.manifests.pods.pod import make_pod

FILE = "/mediafleet/orch-secret/secret"


def made_secrets(server: KubeServer) -> dict[str, dict[str, Any]]:
    return {
        each["metadata"]["name"]: each
        for path, each in server.objects.items()
        if "/secrets/" in path
    }


def test_every_node_is_started_with_the_pools_own_secret_as_a_file() -> None:
    made = make_pod(pool(), 0, PRODUCT)
    node = container(made, "node")
    assert f"-orchSecret={FILE}" in node["args"]
    (volume,) = (each for each in made["spec"]["volumes"] if each["name"].endswith("orch-secret"))
    assert volume["secret"]["secretName"] == f"orch-orch-{pool().uid}"
    assert "orch-secret" not in str(container(made, "agent"))


def test_a_secret_of_the_users_is_mounted_in_its_place() -> None:
    made = make_pod(pool(orchSecret={"name": "mine", "key": "k"}), 0, PRODUCT)
    (volume,) = (each for each in made["spec"]["volumes"] if each["name"].endswith("orch-secret"))
    assert volume["secret"]["secretName"] == "mine"
    assert volume["secret"]["items"][0]["key"] == "k"


@pytest.mark.parametrize(
    "args",
    [
        ["-orchSecret=guess"],
        ["--orchSecret", "guess"],
        ["-orchSecret="],
        ["-orchSecret=/not/there"],
    ],
)
def test_a_secret_in_arguments_is_refused_with_the_field_to_set(args: list[str]) -> None:
    """A path that is no file would be the secret itself; the schema sees only what is no path."""
    with pytest.raises(InvalidTemplateError, match=r"spec\.orchSecret"):
        make_pod(replace(pool(), spec=OrchestratorPoolSpec.model_construct(args=args)), 0, PRODUCT)


def test_a_mounted_file_of_the_users_is_allowed() -> None:
    mounts = [{"name": "own", "mountPath": "/own"}]
    template = {"spec": {"containers": [{"name": "node", "volumeMounts": mounts}]}}
    made = make_pod(pool(args=["-orchSecret=/own/secret"], template=template), 0, PRODUCT)
    assert container(made, "node")["args"][-1] == "-orchSecret=/own/secret"


async def test_the_operator_makes_one_random_secret_that_goes_with_the_pool() -> None:
    server, now = KubeServer(), [0.0]
    children = Children(cast("Api", server), PRODUCT, Clock(monotonic=lambda: now[0]))
    await children.keep(pool(), FleetState("uid-1"))
    ((name, first),) = made_secrets(server).items()
    assert name == f"orch-orch-{pool().uid}"
    assert len(first["stringData"]["secret"]) >= 32
    assert first["metadata"]["ownerReferences"][0]["uid"] == pool().uid

    # A restarted operator may not read it, and takes the one that is there for its own.
    state = FleetState("uid-1")
    await children.keep(pool(), state)
    now[0] = 2 * children.look_seconds
    await children.keep(pool(), state)
    assert made_secrets(server) == {name: first}

    other = KubeServer()
    await Children(cast("Api", other), PRODUCT).keep(pool(), FleetState("uid-1"))
    assert made_secrets(other)[name]["stringData"] != first["stringData"]


@pytest.mark.parametrize("lacking", [True, False])
async def test_a_secret_is_made_again_where_a_pod_may_lack_it_and_else_nothing_is_written(
    lacking: bool,
) -> None:
    server, now, state = KubeServer(), [0.0], FleetState("uid-1")
    children = Children(cast("Api", server), PRODUCT, Clock(monotonic=lambda: now[0]))
    await children.keep(pool(), state)
    ((path, _),) = ((path, it) for path, it in server.objects.items() if "/secrets/" in path)
    server.remove(path)
    now[0] = 2 * children.look_seconds
    written = len(server.writes)
    await children.keep(pool(), state, Needs(secret=lacking))
    assert len(made_secrets(server)) == (1 if lacking else 0)
    assert len(server.writes) - written == (1 if lacking else 0)


async def test_no_secret_is_made_where_the_user_has_one() -> None:
    server = KubeServer()
    resource = pool(orchSecret={"name": "mine", "key": "k"})
    await Children(cast("Api", server), PRODUCT).keep(resource, FleetState("uid-1"))
    assert made_secrets(server) == {}
