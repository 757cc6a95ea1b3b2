"""What a pool's nodes say of demand, where there is no advertiser to ask."""

from __future__ import annotations

from dataclasses import replace

from tests.kit.operator.demand_builders import NOW, asked
from tests.kit.operator.fleet_builders import draining, fleet, observe, pending, pod

from mediafleet_common.api.names import Kind
from mediafleet_operator.core.autoscaling.decision import decide
from mediafleet_operator.core.autoscaling.model import Past, Situation
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.core.fleet.pool_demand import of_pool

POOL = replace(fleet(3), key=FleetKey(Kind.ORCHESTRATOR_POOL, "media", "orch"))


def test_sessions_and_room_are_counted_on_the_nodes_that_take_work() -> None:
    said = of_pool(observe(POOL, [pod(0), pod(1), pending(2)], {0: 3, 1: 0}), 4)
    assert said.known
    assert (said.ready, said.busy, said.work) == (2, 1, 3)
    assert (said.free, said.each) == ({"session": 5}, {"session": 4})


def test_a_node_with_more_sessions_than_its_limit_has_no_room_and_takes_none_from_others() -> None:
    said = of_pool(observe(POOL, [pod(0), pod(1)], {0: 6, 1: 1}), 4)
    assert said.free == {"session": 3}


def test_one_silent_node_makes_demand_unknown_and_is_named() -> None:
    said = of_pool(observe(POOL, [pod(0), pod(1)], {0: 3, 1: None}), 4)
    assert not said.known
    assert "rec-1" in (said.reason or "")


def test_without_a_limit_nobody_knows_how_much_a_node_takes() -> None:
    said = of_pool(observe(POOL, [pod(0)], {0: 3}), None)
    assert (said.known, said.work, said.size, said.each) == (True, 3, None, {})
    verdict = decide(Situation(asked(), 1, said, Past(), NOW))
    assert verdict.replicas == 1
    assert "spec.sessions.max" in verdict.why


def test_a_draining_node_asks_for_no_pod_and_keeps_the_pool_awake() -> None:
    said = of_pool(observe(POOL, [pod(0), draining(1), draining(2)], {0: 0, 1: 2, 2: None}), 4)
    assert (said.ready, said.work, said.leaving) == (1, 0, 3)


def test_nodes_that_are_not_ready_any_more_count_with_what_they_tell_or_as_full() -> None:
    """A kubelet or its lease may be away for longer than any cool-down, and sessions go on."""
    gone = [pod(slot, ready=False) for slot in range(3)]
    said = of_pool(observe(POOL, [*gone, pending(3)], {0: 3, 1: 0, 2: None}), 4)
    assert (said.known, said.ready, said.away, said.busy, said.work) == (True, 0, 2, 2, 7)
    assert said.free == {"session": 0}
