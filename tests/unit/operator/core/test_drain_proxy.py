"""When a node behind a drain proxy may be deleted, and what is written on it before."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.kit.operator.fleet_builders import NOW, SETTLE, draining, fleet, observe, pod, readings

from mediafleet_common.api.names import Annotation, DrainReason, Kind
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_operator.core.drain.leaving import proved_idle, step
from mediafleet_operator.core.fleet.actions import Delete, Drain, Undrain
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.kube.apply import marks

POOL = fleet(key=FleetKey(Kind.ORCHESTRATOR_POOL, "media", "rec"))
REFUSES = NOW - 60 + SETTLE


@pytest.mark.parametrize(
    ("refusing", "in_flight", "jobs", "gone"),
    [
        (True, 0, 0, True),
        (True, 1, 0, False),
        (True, None, 0, False),
        (False, 0, 0, False),
        (None, 0, 0, False),
        (True, 0, 1, False),
        (True, 0, None, False),
    ],
)
def test_a_proxied_node_goes_once_it_refuses_work_and_nothing_is_in_flight(
    refusing: bool | None, in_flight: int | None, jobs: int | None, *, gone: bool
) -> None:
    leaving = draining(0, proxied=True, refuse_from=REFUSES)
    said = [replace(each, refusing=refusing, in_flight=in_flight) for each in readings(jobs, jobs)]
    seen = observe(POOL, [leaving], loads={0: tuple(said)})

    assert proved_idle(leaving, seen) is gone
    assert isinstance(step(leaving, seen), Delete) is gone


def test_both_readings_that_count_are_of_a_proxy_that_refuses() -> None:
    leaving = draining(0, proxied=True, refuse_from=REFUSES)
    before, after = readings(0, 0)
    said = (
        replace(before, refusing=False, in_flight=0),
        replace(after, refusing=True, in_flight=0),
    )

    assert not proved_idle(leaving, observe(POOL, [leaving], loads={0: said}))


def test_a_node_without_a_proxy_is_not_asked_for_one() -> None:
    assert proved_idle(draining(0), observe(POOL, [draining(0)], {0: 0}))


def test_a_proxy_that_nobody_told_is_told_again() -> None:
    leaving = draining(0, proxied=True)

    assert step(leaving, observe(POOL, [leaving], {0: 0})) == Drain(leaving, DrainReason.SCALE_DOWN)


def test_a_drain_tells_the_proxy_to_refuse_after_the_settle_time_and_its_end_not_to() -> None:
    one = pod(0, proxied=True)
    name = Annotation.REFUSE_FROM.value

    spec = OrchestratorPoolSpec.model_validate({"drain": {"settle": "60s"}})

    written = marks(Drain(one, DrainReason.SCALE_DOWN), 0.0, spec)["annotations"]
    assert written[name] == "1970-01-01T00:01:00.000Z"
    assert marks(Undrain(one), 0.0, spec)["annotations"][name] is None
    assert name not in marks(Undrain(pod(0)), 0.0, spec)["annotations"]
