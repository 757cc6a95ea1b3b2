"""Under which URL gateways reach a node, what is refused, and what belongs to a slot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.kit.operator.fleet_builders import (
    draining,
    fleet,
    observe,
    pending,
    pod,
    readings,
    words,
)
from tests.unit.operator.manifests.test_pods import PRODUCT, container, env, pool

from mediafleet.in_pod.wait_address import main, wait
from mediafleet_common.api.names import Condition, Kind, Reason
from mediafleet_common.api.pool.address import Address
from mediafleet_common.formats.node_url import parse_node_url, unreachable
from mediafleet_operator.core.drain.leaving import GATE_SECONDS
from mediafleet_operator.core.fleet.actions import Mark
from mediafleet_operator.core.fleet.model import (
    AddressProblem,
    FleetKey,
    Memory,
    Observation,
    PodView,
    Refusal,
)
from mediafleet_operator.core.plan import plan
from mediafleet_operator.core.status.conditions import conditions
from mediafleet_operator.kube import digest
from mediafleet_operator.kube.apply import marks
from mediafleet_operator.kube.snapshots import Snapshots
from mediafleet_operator.manifests.children.slots import services
from mediafleet_operator.manifests.pods.address import Place, locate
from mediafleet_operator.manifests.pods.pod import make_pod
from mediafleet_operator.manifests.resource import fleet_spec, template_hash

HERE = Place(
    namespace="media",
    name="orch-3",
    slot=3,
    pod_ip="10.1.2.3",
    node="n1",
    node_external="8.8.4.4",
    node_internal="192.168.0.9",
    node_port=31777,
    ingress="lb.example.com",
)
NOWHERE = Place("media", "orch-3", 3)
RANGE = {"first": 20000, "last": 20001}
TEMPLATE = {"type": "template", "template": "https://{slot}.{namespace}.{nodeExternalIP}.io:1"}


def url(place: Place = HERE, **address: Any) -> str | None:
    return locate(Address.model_validate(address), place).url


def why(place: Place = HERE, **address: Any) -> str:
    problem = locate(Address.model_validate(address), place).problem
    return f"{problem.reason}: {problem.message}" if problem else ""


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ({}, "https://10.1.2.3:8935"),
        ({"port": 9, "scheme": "http"}, "http://10.1.2.3:9"),
        ({"type": "host_port", "portRange": RANGE}, "https://8.8.4.4:20001"),
        (
            {"type": "host_port", "portRange": RANGE, "nodeAddress": "internal"},
            "https://192.168.0.9:20001",
        ),
        ({"type": "node_port"}, "https://8.8.4.4:31777"),
        ({"type": "load_balancer", "port": 443}, "https://lb.example.com:443"),
        (TEMPLATE, "https://3.media.8.8.4.4.io:1"),
        ({"type": "template", "template": "https://{name}.{nodeName}:1"}, "https://orch-3.n1:1"),
    ],
)
def test_the_url_of_a_node(address: dict[str, Any], wanted: str) -> None:
    assert url(**address) == wanted


@pytest.mark.parametrize(
    "address",
    [
        {},
        {"type": "host_port", "portRange": RANGE},
        {"type": "node_port"},
        TEMPLATE,
    ],
)
def test_a_pod_that_has_just_started_is_waited_for_without_a_word(address: dict[str, Any]) -> None:
    assert (url(NOWHERE, **address), why(NOWHERE, **address)) == (None, "")


def test_ipv6_gets_its_brackets() -> None:
    place = Place("media", "a-0", 0, pod_ip="fd00::7", ingress="2600::1")

    assert url(place) == "https://[fd00::7]:8935"
    assert url(place, type="load_balancer") == "https://[2600::1]:8935"


@pytest.mark.parametrize(
    ("place", "address", "words"),
    [
        (NOWHERE, {"type": "load_balancer"}, "AddressUnknown: the load balancer of orch-3"),
        (
            Place("media", "a-0", 0, node="n1", node_port=1),
            {"type": "node_port"},
            "AddressUnknown: Kubernetes node n1 of a-0 has no external IP; use address.nodeAddress",
        ),
        (
            Place("media", "a-0", 0, node="n1", nodes_known=False),
            {"type": "host_port", "portRange": RANGE},
            "AddressUnknown: the operator may not read Kubernetes nodes",
        ),
        (HERE, {"type": "node_port", "portRange": RANGE}, "slot 3 of orch-3 has no port"),
        (
            HERE,
            {"type": "template", "template": "https://10.0.0.{slot}:1"},
            "AddressRefused: https://10.0.0.3:1 is not a public address; set address.allowPrivate",
        ),
        (HERE, {"type": "template", "template": "https://h:1/{slot}"}, "must be https://host:port"),
    ],
)
def test_why_there_is_no_url(place: Place, address: dict[str, Any], words: str) -> None:
    assert url(place, **address) is None
    assert words in why(place, **address)


@pytest.mark.parametrize(
    ("host", "private_too", "public_only"),
    [
        ("8.8.8.8", None, None),
        ("orch.example.com", None, None),
        ("10.0.0.1", None, "not a public"),
        ("100.64.0.1", None, "not a public"),
        ("[fd00::1]", None, "not a public"),
        ("[::ffff:10.0.0.1]", None, "not a public"),
        ("127.0.0.1", "loopback", "loopback"),
        ("[::1]", "loopback", "loopback"),
        ("[::ffff:127.0.0.1]", "loopback", "loopback"),
        ("localhost", "itself", "itself"),
        ("0.0.0.0", "unspecified", "unspecified"),
        ("[::]", "unspecified", "unspecified"),
        ("169.254.1.1", "link-local", "link-local"),
        ("224.0.0.1", "multicast", "multicast"),
    ],
)
def test_addresses_that_gateways_cannot_reach(
    host: str, private_too: str | None, public_only: str | None
) -> None:
    for allow_private, wanted in ((True, private_too), (False, public_only)):
        found = unreachable(parse_node_url(f"https://{host}:8935"), allow_private=allow_private)
        assert wanted in (found or "") if wanted else found is None


def test_who_asks_for_pod_or_internal_addresses_means_private_ones() -> None:
    assert url() == "https://10.1.2.3:8935"
    assert url(type="load_balancer") is not None
    private = Place("media", "a-0", 0, ingress="10.0.0.7")
    assert "AddressRefused" in why(private, type="load_balancer")
    assert url(private, type="load_balancer", allowPrivate=True) == "https://10.0.0.7:8935"


# What is made


@pytest.mark.parametrize(
    "address", [{"type": "node_port"}, {"type": "host_port", "portRange": RANGE}, TEMPLATE]
)
def test_a_node_waits_for_an_address_that_is_known_late(address: dict[str, Any]) -> None:
    made = make_pod(pool(address=address), 0, PRODUCT)
    [waits] = made["spec"]["initContainers"]
    annotation = "metadata.annotations['mediafleet.dev/service-addr']"

    assert container(made, "node")["args"][0] == "-serviceAddr=$(SERVICE_ADDR)"
    assert env(made, "node")["SERVICE_ADDR"] == {"fieldRef": {"fieldPath": annotation}}
    assert waits["args"] == ["wait-address", "--file", "/mediafleet/pod/service-addr"]
    assert waits["image"] == "ours:1"
    [volume] = [each for each in made["spec"]["volumes"] if each["name"] == "mediafleet-pod"]
    assert volume["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"] == annotation


def test_a_node_whose_address_is_known_before_does_not_wait() -> None:
    assert "initContainers" not in make_pod(pool(), 0, PRODUCT)["spec"]


def test_host_ports_begin_again_after_the_last() -> None:
    one = pool(address={"type": "host_port", "portRange": RANGE})
    made = [container(make_pod(one, slot, PRODUCT), "node")["ports"][0] for slot in range(3)]

    assert [each["hostPort"] for each in made] == [20000, 20001, 20000]
    assert {each["containerPort"] for each in made} == {8935}


def test_each_slot_gets_a_service_of_its_own() -> None:
    address = {
        "type": "load_balancer",
        "port": 443,
        "service": {"annotations": {"a": "b"}, "loadBalancerClass": "metal"},
    }
    first, second = services(pool(address=address), [1, 0])
    selector = {
        "mediafleet.dev/kind": "orchestrator",
        "mediafleet.dev/fleet": "orch",
        "mediafleet.dev/slot": "1",
    }

    assert [first["metadata"]["name"], second["metadata"]["name"]] == [
        "orch-slot-0",
        "orch-slot-1",
    ]
    assert second["spec"]["selector"] == selector
    assert second["spec"]["selector"].items() <= make_labels(pool(address=address)).items()
    assert (second["spec"]["type"], second["spec"]["loadBalancerClass"]) == (
        "LoadBalancer",
        "metal",
    )
    assert second["spec"]["ports"][0]["port"] == 443
    assert second["metadata"]["annotations"] == {"a": "b"}
    assert second["metadata"]["ownerReferences"][0]["uid"] == "uid-1"


def make_labels(one: Any) -> dict[str, str]:
    labels: dict[str, str] = make_pod(one, 1, PRODUCT)["metadata"]["labels"]
    return labels


def test_node_ports_are_chosen_by_slot_within_the_range_or_by_kubernetes() -> None:
    ranged = services(pool(address={"type": "node_port", "portRange": RANGE}), range(3))
    free = services(pool(address={"type": "node_port"}), range(3))

    assert [each["spec"]["ports"][0]["nodePort"] for each in ranged] == [20000, 20001]
    assert len(free) == 3
    assert "nodePort" not in free[0]["spec"]["ports"][0]
    assert services(pool(), range(3)) == []


def test_slots_with_a_service_are_replaced_in_place_and_have_a_serving_gate() -> None:
    one = pool(address={"type": "node_port"})

    assert fleet_spec(one, None).slots_own_things
    assert make_pod(one, 0, PRODUCT)["spec"]["readinessGates"] == [
        {"conditionType": "mediafleet.dev/serving"}
    ]
    assert not fleet_spec(pool(), None).slots_own_things
    assert "readinessGates" not in make_pod(pool(), 0, PRODUCT)["spec"]


def test_what_concerns_services_and_the_list_alone_replaces_no_pod() -> None:
    base = {"type": "load_balancer"}
    more = {"allowPrivate": True, "service": {"annotations": {"a": "b"}}}

    assert template_hash(pool(address=base | more).spec) == template_hash(pool(address=base).spec)
    assert template_hash(pool(address=more).spec) == template_hash(pool().spec)


def test_a_slot_keeps_what_is_its_own_while_it_is_wanted_or_has_a_pod() -> None:
    seen = observe(fleet(2, slots_own_things=True), [pod(0), draining(4), pod(7, deleting=True)])

    assert plan(seen).slots_in_use == {0, 1, 4, 7}


# Serving gates

GATE = {"gate_open": True}


@pytest.mark.parametrize(
    ("view", "jobs", "wanted"),
    [
        (pending(0, gate_open=False), None, ["open 0"]),
        (pod(0, gate_open=False), (0, 0), ["open 0"]),
        (pod(0, **GATE), (0, 0), []),
        (draining(0, since=3, **GATE), (0, 0), []),
        (draining(0, since=60, **GATE), (1, 1), []),
        (draining(0, since=60, **GATE), (None, None), []),
        (draining(0, since=60, **GATE), (1, 0), ["shut 0"]),
        (draining(0, since=60, **GATE, work_running=False), (0, 0), ["delete 0 DrainFinished"]),
    ],
)
def test_a_serving_gate_is_shut_once_a_settled_pod_is_idle(
    view: Any, jobs: tuple[int | None, ...] | None, wanted: list[str]
) -> None:
    replicas = 0 if view.drain_started else 1
    history = {0: readings(*jobs)} if jobs else {}
    busy = jobs is not None and jobs[-1] != 0
    planned = plan(observe(fleet(replicas), [replace(view, busy_label=busy)], loads=history))

    assert words(planned.actions) == wanted


def test_only_readings_after_the_gate_was_shut_prove_a_pod_idle() -> None:
    def steps(shut_for: float, *jobs: int) -> list[str]:
        now = 1_000_000.0
        view = draining(0, since=60, gate_open=False, gate_shut_at=now - shut_for)
        busy = jobs[-1] != 0
        seen = observe(fleet(0), [replace(view, busy_label=busy)], loads={0: readings(*jobs)})
        return words(plan(seen).actions)

    assert steps(GATE_SECONDS, 0, 0) == []
    assert steps(GATE_SECONDS + 2, 0, 0) == ["delete 0 DrainFinished"]
    assert steps(GATE_SECONDS + 2, 0, 1) == ["open 0"], "a session may need another connection"


# What is said


POOL = FleetKey(Kind.ORCHESTRATOR_POOL, "media", "rec")


def address_ready(seen: Observation) -> tuple[str, str, str]:
    found = {each.type: each for each in conditions(seen, plan(seen), None)}
    each = found[Condition.ADDRESS_READY.value]
    return each.status, each.reason, each.message


def test_a_refused_address_is_said_and_taken_away() -> None:
    problem = AddressProblem(Reason.ADDRESS_REFUSED, "https://127.0.0.1:1 is a loopback address")
    late = AddressProblem(Reason.ADDRESS_UNKNOWN, "the load balancer of rec-1 has no address yet")
    old = pod(0, address="https://127.0.0.1:1", address_problem=problem)
    seen = observe(fleet(2, key=POOL), [old, pending(1, address_problem=late)])

    assert address_ready(seen) == (
        "False",
        "AddressRefused",
        "Not listed: rec-0, rec-1; https://127.0.0.1:1 is a loopback address.",
    )
    written = [each.address for each in plan(seen).actions if isinstance(each, Mark)]
    assert "" in written


def test_host_ports_that_the_namespace_refuses_are_named_with_the_fix() -> None:
    said = 'pods "rec-0" is forbidden: violates PodSecurity "baseline:latest": hostPort (…)'
    memory = Memory(Refusal(Reason.ADMISSION_REFUSED, said, 1, 0.0))
    status, reason, message = address_ready(observe(fleet(1, key=POOL), [], memory=memory))

    assert (status, reason) == ("False", "HostPortRefused")
    assert "pod-security.kubernetes.io/enforce: privileged" in message


def test_a_slots_service_is_read() -> None:
    made = services(pool(address={"type": "load_balancer"}), [2])[0]
    made["metadata"] |= {"uid": "u", "resourceVersion": "5"}
    made["spec"]["ports"][0]["nodePort"] = 31000
    made["status"] = {"loadBalancer": {"ingress": [{"hostname": "lb.example.com"}]}}
    found = digest.slot_service(made)

    assert found is not None
    assert (found.slot, found.node_port, found.ingress) == (2, 31000, "lb.example.com")
    assert (found.key.name, found.owner_uid, found.deleting) == ("orch", "uid-1", False)
    assert digest.slot_service({"metadata": {"name": "x", "namespace": "y"}}) is None


def test_a_node_whose_load_balancer_was_made_anew_is_replaced_and_listed_as_it_now_is() -> None:
    def seen(service_addr: str, **address: Any) -> PodView:
        one, snapshots = pool(address=address), Snapshots(nodes_known=False)
        raw = make_pod(one, 0, PRODUCT)
        raw["metadata"] |= {"uid": "p", "resourceVersion": "1"}
        raw["metadata"]["annotations"]["mediafleet.dev/service-addr"] = service_addr
        raw["status"] = {"podIP": "10.1.1.1"}
        found = digest.pod(raw)
        assert found is not None
        snapshots.put_pod(found)
        for made in services(one, [0]):
            made["metadata"] |= {"uid": "s", "resourceVersion": "1"}
            made["status"] = {"loadBalancer": {"ingress": [{"ip": "8.8.4.4"}]}}
            service = digest.slot_service(made)
            assert service is not None
            snapshots.put_service(service)
        [view] = snapshots.observe(one, None, {}, Memory(), 0.0).pods
        return view

    moved = seen("8.8.8.8:8935", type="load_balancer")
    assert (moved.moved, moved.address_wanted) == (True, "https://8.8.4.4:8935")
    assert not seen("8.8.4.4:8935", type="load_balancer").moved
    assert not seen("10.9.9.9:8935").moved, "a pod's new IP is filled in when its node starts again"
    one = observe(fleet(1, slots_own_things=True), [pod(0, moved=True, busy_label=True)], {0: 1})
    assert words(plan(one).actions) == ["drain 0 address"]
    kept = marks(Mark(moved, address="https://8.8.4.4:8935"), 0.0, pool().spec)
    assert kept == {"annotations": {"mediafleet.dev/address": "https://8.8.4.4:8935"}}


# The init container


def test_waiting_ends_with_the_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "service-addr"
    assert wait(file, patience_seconds=0) is None
    file.write_text("")
    assert wait(file, patience_seconds=0) is None
    file.write_text("8.8.4.4:20001\n")

    assert main(["--file", str(file)]) == 0
    assert "8.8.4.4:20001" in capsys.readouterr().out
    assert main(["--fil"]) == 2
