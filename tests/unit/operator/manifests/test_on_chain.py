"""Nodes that are paid: secrets as files, tickets in a place that lasts, rewards called once."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.kit.operator.fleet_builders import fleet, observe, pod, words
from tests.unit.operator.manifests.test_pods import PRODUCT, container, env, pool

from mediafleet_common.api.pool.on_chain import OnChain
from mediafleet_operator.core.plan import plan
from mediafleet_operator.manifests.children.slots import claims
from mediafleet_operator.manifests.pods.pod import make_pod, problem
from mediafleet_operator.manifests.resource import fleet_spec, template_hash

ADDRESS = "0x" + "12" * 20
CHAIN: dict[str, Any] = {
    "ethOrchAddr": ADDRESS,
    "keySecret": {"name": "eth", "key": "key.json"},
    "passwordSecret": {"name": "eth", "key": "pass"},
    "rpcUrlSecret": {"name": "eth", "key": "url"},
}
REDEEMED = CHAIN | {"redeemerAddr": "redeemer:8935"}
KEPT = CHAIN | {"volume": {"size": "2Gi", "storageClass": "fast"}}


def paid(**more: Any) -> Any:
    return pool(onChain=REDEEMED | more)


def test_winning_tickets_need_a_place() -> None:
    with pytest.raises(ValidationError, match="redeemerAddr or volume"):
        OnChain.model_validate(CHAIN)


def test_no_secret_stands_in_arguments() -> None:
    made = make_pod(paid(ethAcctAddr=ADDRESS), 1, PRODUCT)
    args = container(made, "node")["args"]

    assert args[5:] == [
        "-network=arbitrum-one-mainnet",
        f"-ethOrchAddr={ADDRESS}",
        "-ethKeystorePath=/mediafleet/keystore/key.json",
        "-ethPassword=/mediafleet/eth-password",
        "-reward=false",
        "-initializeRound=false",
        f"-ethAcctAddr={ADDRESS}",
        "-redeemerAddr=redeemer:8935",
    ]
    assert env(made, "node")["LP_ETHURL"] == {"secretKeyRef": {"name": "eth", "key": "url"}}
    assert "LP_ETHURL" not in str(container(made, "agent"))


def test_the_key_is_a_file_and_no_link_which_a_keystore_passes_over() -> None:
    made = make_pod(paid(), 0, PRODUCT)
    mounts = {each["mountPath"]: each for each in container(made, "node")["volumeMounts"]}
    secrets = [each["secret"] for each in made["spec"]["volumes"] if "secret" in each]

    for path in ("/mediafleet/keystore/key.json", "/mediafleet/eth-password"):
        assert mounts[path]["subPath"] == "secret"
        assert mounts[path]["readOnly"] is True
    assert [each["items"][0]["key"] for each in secrets] == ["secret", "key.json", "pass"]
    assert all(each["items"][0]["mode"] == 0o440 for each in secrets)


def test_a_volume_outlives_pod_slot_and_pool() -> None:
    one = pool(onChain=KEPT)
    home = {each["name"]: each for each in make_pod(one, 3, PRODUCT)["spec"]["volumes"]}
    [claim] = claims(one, [3])

    assert home["mediafleet-home"]["persistentVolumeClaim"] == {"claimName": "orch-slot-3"}
    assert claim["metadata"]["name"] == "orch-slot-3"
    assert "ownerReferences" not in claim["metadata"]
    assert claim["spec"]["resources"]["requests"] == {"storage": "2Gi"}
    assert claim["spec"]["storageClassName"] == "fast"
    assert fleet_spec(one, None).slots_own_things
    assert claims(paid(), [3]) == []
    assert not fleet_spec(paid(), None).slots_own_things


def test_a_larger_claim_replaces_no_pod_and_another_chain_does() -> None:
    base = template_hash(pool(onChain=KEPT).spec)

    assert template_hash(pool(onChain=KEPT | {"volume": {"size": "9Gi"}}).spec) != ""
    larger = KEPT | {"volume": {"size": "9Gi", "storageClass": "fast"}}
    assert template_hash(pool(onChain=larger).spec) == base
    assert template_hash(pool(onChain=KEPT | {"network": "other"}).spec) != base


def test_rewards_are_called_in_one_place_that_leaves_last() -> None:
    one = paid(rewards="slot_0")
    calls = [
        "-reward=true" in container(make_pod(one, slot, PRODUCT), "node")["args"]
        for slot in range(3)
    ]
    spec = fleet_spec(one, None)

    assert calls == [True, False, False]
    assert (spec.last_to_leave, spec.slots_own_things) == (0, True)
    assert fleet_spec(paid(), None).last_to_leave is None


def test_the_node_that_calls_reward_stays_while_another_can_go() -> None:
    idle_and_busy = {0: 0, 1: 5, 2: 1}
    pods = [pod(slot, busy_label=jobs > 0) for slot, jobs in idle_and_busy.items()]
    one = observe(fleet(1, last_to_leave=0), pods, idle_and_busy)
    none = observe(fleet(0, last_to_leave=0), pods, idle_and_busy)

    assert words(plan(one).actions) == ["drain 1 scale_down", "drain 2 scale_down"]
    assert "drain 0 scale_down" in words(plan(none).actions)


@pytest.mark.parametrize(
    ("flag", "field"),
    [
        ("-network=offchain", "spec.onChain.network"),
        ("--ethPassword=hunter2", "spec.onChain.passwordSecret"),
        ("-ethUrl=https://rpc/key", "spec.onChain.rpcUrlSecret"),
        ("-reward", "spec.onChain.rewards"),
    ],
)
def test_flags_of_the_chain_are_said_in_one_place(flag: str, field: str) -> None:
    said = problem(pool(onChain=REDEEMED, args=[flag]), PRODUCT)

    assert said is not None
    assert field in said
    assert "hunter2" not in said
    assert problem(pool(args=[flag]), PRODUCT) is None
