"""What is written on a pod of its address, its work and its gate, and when nothing is."""

from __future__ import annotations

import pytest
from tests.kit.operator.fleet_builders import NOW, draining, fleet, observe, pending, pod, readings

from mediafleet_common.api.names import Kind, Reason
from mediafleet_operator.core.fleet.actions import Mark, SetGate
from mediafleet_operator.core.fleet.marks import marks
from mediafleet_operator.core.fleet.model import AddressProblem, FleetKey, PodView, Reading

POOL = FleetKey(Kind.ORCHESTRATOR_POOL, "media", "rec")
REFUSED = AddressProblem(Reason.ADDRESS_REFUSED, "it is private")
UNKNOWN = AddressProblem(Reason.ADDRESS_UNKNOWN, "no node address")


@pytest.mark.parametrize(
    ("view", "address"),
    [
        (pod(0, address="a", address_wanted="a"), None),
        (pod(0, address="a", address_wanted="b"), "b"),
        (pod(0, address="a", address_wanted=None), None),
        (pod(0, address="a", address_wanted="a", address_problem=REFUSED), ""),
        (pod(0, address=None, address_wanted="a", address_problem=REFUSED), None),
        (pod(0, address="a", address_wanted="b", address_problem=UNKNOWN), "b"),
    ],
)
def test_an_address_is_written_when_it_changes_and_taken_away_when_it_is_refused(
    view: PodView, address: str | None
) -> None:
    written = marks(observe(fleet(1, key=POOL), [view]), [view])
    assert written == ([] if address is None else [Mark(view, address=address)])


@pytest.mark.parametrize(
    ("view", "opens"),
    [
        (pod(0, gate_open=False), True),
        (pending(0, gate_open=False, ready=True), True),
        (draining(0, gate_open=False), False),
        (pod(0, gate_open=True), False),
        (pod(0, gate_open=None), False),
    ],
)
def test_the_gate_of_a_pod_that_does_not_drain_is_opened_before_anything_else(
    view: PodView, opens: bool
) -> None:
    gates = [each for each in marks(observe(fleet(1), [view]), [view]) if type(each) is SetGate]
    assert gates == ([SetGate(view, True)] if opens else [])


def busy_at(view: PodView, *readings_: Reading, key: FleetKey | None = None) -> float | None:
    spec = fleet(1, key=key) if key else fleet(1)
    for mark in marks(observe(spec, [view], loads={0: readings_}), [view]):
        assert isinstance(mark, Mark)
        return mark.busy_at
    return None


IDLE = Reading(NOW - 1, 0, busy_at=NOW - 9)


def test_when_a_pod_was_last_busy_is_written_once_it_is_idle() -> None:
    assert busy_at(pod(0), IDLE) == NOW - 9
    assert busy_at(pod(0, busy_label=True), Reading(NOW - 1, 1, busy_at=NOW - 1)) is None
    assert busy_at(pod(0, busy_at=NOW - 9), IDLE) is None, "it stands there, to milliseconds"
    assert busy_at(pod(0, busy_at=NOW - 8.995), IDLE) is None
    assert busy_at(pod(0, busy_at=NOW - 20), IDLE) == NOW - 9
    assert busy_at(pod(0), IDLE, key=POOL) is None, "nodes tell livekit-server nothing"


def test_work_that_another_process_saw_ended_now_as_far_as_is_known() -> None:
    assert busy_at(pod(0, busy_label=True), Reading(NOW - 1, 0)) == NOW
    assert busy_at(pod(0), Reading(NOW - 1, 0)) is None, "nobody saw any"
    assert busy_at(pod(0, busy_label=True), Reading(NOW - 61, 0)) is None, "it says nothing of now"


def test_a_pod_that_never_was_ready_is_not_marked_busy() -> None:
    view = pending(0)
    assert marks(observe(fleet(1), [view], loads={0: readings(1)}), [view]) == []
