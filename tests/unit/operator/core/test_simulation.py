"""The engine against a small cluster in which anything may happen at any time."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.kit.operator.fleet_builders import fleet
from tests.kit.operator.fleet_world import COMMANDS, BusyPodDeletedError, Command, World, heal

from mediafleet_common.api.shared import OnTimeout, Strategy
from mediafleet_operator.core.drain import leaving
from mediafleet_operator.core.plan import plan

SETTLE = 2.0
LONG = 300.0
"""Longer than any pod lives on once all is repaired, restarts and back-offs included."""

commands = st.lists(
    st.builds(
        Command,
        name=st.sampled_from(COMMANDS),
        number=st.integers(0, 40),
        then_seconds=st.sampled_from([0.5, 1.0, 3.0, 8.0, 40.0]),
    ),
    max_size=25,
)
strategies = st.sampled_from(list(Strategy))


def world(seed: int, strategy: Strategy = Strategy.SURGE, replicas: int = 3) -> World:
    spec = fleet(replicas, template_hash="a", settle_seconds=SETTLE, strategy=strategy)
    return World(replace(spec, drain_timeout_seconds=10_000.0), plan, seed)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**16),
    story=commands,
    strategy=strategies,
    crash=st.sampled_from([0.0, 0.3]),
    stale=st.sampled_from([0.0, 0.3]),
)
def test_no_busy_pod_is_deleted_and_the_wanted_number_is_reached(
    seed: int, story: list[Command], strategy: Strategy, crash: float, stale: float
) -> None:
    cluster = world(seed, strategy)
    cluster.crash_chance, cluster.stale_chance = crash, stale
    cluster.run(10)
    for command in story:
        command.do(cluster)  # A busy pod deleted raises here.
    heal(cluster)
    cluster.run(LONG)

    assert cluster.settled, [body.view for body in cluster.pods.values()]


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**16),
    story=commands,
    crash=st.sampled_from([0.0, 0.3]),
    stale=st.sampled_from([0.0, 0.3]),
)
@example(
    seed=63558,
    story=[
        Command("cordon", 0, 40.0),
        Command("template", 1, 3.0),
        Command("crash", 1, 40.0),
        Command("silent", 0, 0.5),
        Command("silent", 0, 0.5),
    ],
    crash=0.0,
    stale=0.3,
).via("a node that comes back while its pod's serving gate is shut")
def test_behind_a_serving_gate_no_work_is_cut_although_gateways_go_on_calling(
    seed: int, story: list[Command], crash: float, stale: float
) -> None:
    cluster = world(seed, replicas=3)
    cluster.spec = replace(cluster.spec, slots_own_things=True)
    cluster.gates, cluster.old_friends = True, 0.2
    cluster.crash_chance, cluster.stale_chance = crash, stale
    cluster.run(10)
    for command in story:
        command.do(cluster)  # A busy pod deleted raises here.
    cluster.old_friends = 0.0
    heal(cluster)
    cluster.run(LONG)

    assert cluster.settled, [body.view for body in cluster.pods.values()]


@settings(max_examples=25)
@given(seed=st.integers(0, 2**16), story=commands, strategy=strategies)
def test_a_settled_fleet_is_left_alone(seed: int, story: list[Command], strategy: Strategy) -> None:
    cluster = world(seed, strategy)
    for command in story:
        command.do(cluster)
    heal(cluster)
    cluster.run(LONG)
    cluster.new_jobs = 0.0
    cluster.run(60)
    before = cluster.actions
    cluster.run(60)

    assert cluster.actions == before


@settings(max_examples=30)
@given(seed=st.integers(0, 2**16), replicas=st.integers(0, 6), then=st.integers(0, 6))
def test_a_change_of_scale_drains_each_pod_once_at_most(
    seed: int, replicas: int, then: int
) -> None:
    cluster = world(seed, replicas=replicas)
    cluster.run(20)
    bodies = list(cluster.pods.values())
    cluster.spec = replace(cluster.spec, replicas=then)
    cluster.run(LONG)

    assert sum(body.drains for body in bodies) == max(replicas - then, 0)
    assert cluster.settled


@settings(max_examples=30)
@given(seed=st.integers(0, 2**16), replicas=st.integers(1, 5), surge=st.integers(1, 3))
def test_a_rollout_by_surge_never_has_fewer_ready_pods_than_wanted(
    seed: int, replicas: int, surge: int
) -> None:
    cluster = world(seed, replicas=replicas)
    cluster.run(20)
    cluster.spec = replace(cluster.spec, template_hash="b", max_surge=surge)
    for _ in range(600):
        cluster.step()
        assert len(cluster.serving) >= replicas

    assert cluster.settled


def test_a_rollout_to_a_broken_template_leaves_every_ready_pod_alone() -> None:
    cluster = world(1, replicas=4)
    cluster.run(20)
    cluster.spec = replace(cluster.spec, template_hash="bad", max_surge=2)
    cluster.run(LONG)

    assert len(cluster.serving) == 4


@pytest.mark.parametrize("on_timeout", [OnTimeout.STOP, OnTimeout.KILL])
def test_a_drain_that_takes_too_long_ends_as_asked(on_timeout: OnTimeout) -> None:
    cluster = world(1, replicas=1)
    cluster.run(20)
    body = next(iter(cluster.pods.values()))
    body.jobs = [cluster.now + 10_000]
    cluster.spec = replace(
        cluster.spec, replicas=0, drain_timeout_seconds=60, on_timeout=on_timeout
    )
    cluster.run(50)
    assert not body.view.deleting
    cluster.run(20)

    assert body.view.deleting


def test_a_mutant_that_skips_the_wait_is_caught() -> None:
    """The simulation is worth something only if it fails an engine that is wrong."""
    with patch.object(leaving, "proved_idle", lambda pod, observation: True):
        cluster = world(1, replicas=6)
        cluster.run(20)
        cluster.spec = replace(cluster.spec, replicas=0)
        with pytest.raises(BusyPodDeletedError):
            cluster.run(20)


def test_a_mutant_that_takes_unknown_for_idle_is_caught() -> None:
    def hopeful(pod: object, observation: object) -> bool:
        history = observation.loads.get(pod.uid, ())  # type: ignore[attr-defined]
        return all(not each.jobs for each in history)

    with patch.object(leaving, "proved_idle", hopeful):
        cluster = world(1, replicas=6)
        cluster.run(20)
        for body in cluster.pods.values():
            body.deaf = True
        cluster.spec = replace(cluster.spec, replicas=0)
        with pytest.raises(BusyPodDeletedError):
            cluster.run(20)
