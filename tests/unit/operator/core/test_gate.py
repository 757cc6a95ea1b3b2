"""A draining pod behind a Service of its own: shut at the first idle reading, opened when busy."""

from __future__ import annotations

import pytest
from tests.kit.operator.fleet_builders import (
    NOW,
    SETTLE,
    TIMEOUT,
    draining,
    fleet,
    observe,
    readings,
    words,
)

from mediafleet_common.api.names import DrainReason, Kind, Reason
from mediafleet_common.api.shared import OnTimeout
from mediafleet_operator.core.drain import leaving
from mediafleet_operator.core.fleet.actions import Delete, Drain, SetGate
from mediafleet_operator.core.fleet.model import FleetKey, History, PodView, Reading
from mediafleet_operator.core.plan import plan

POOL = FleetKey(Kind.ORCHESTRATOR_POOL, "media", "rec")


def steps(view: PodView, history: History) -> list[str]:
    seen = observe(fleet(0, key=POOL), [view], loads={0: history})
    return [each for each in words(plan(seen).actions) if not each.startswith("mark")]


def test_a_settled_pod_is_shut_at_the_first_idle_reading() -> None:
    view = draining(0, since=20, gate_open=True)
    assert steps(view, readings(0)) == ["shut 0"]
    assert steps(view, readings(0, 0)) == ["shut 0"], "before it is shut nothing proves it idle"
    assert steps(view, readings(1)) == []
    assert steps(view, readings(0, None)) == [], "the last word is unknown"
    assert steps(view, ()) == []


def test_an_idle_reading_from_before_it_was_settled_shuts_nothing() -> None:
    view = draining(0, since=SETTLE + 1, gate_open=True)
    assert steps(view, readings(0, ago=1)) == ["shut 0"]
    assert steps(view, readings(0, ago=1.1)) == []
    fresh = draining(0, since=SETTLE - 1, gate_open=True)
    assert steps(fresh, readings(0)) == []


def test_a_shut_pod_that_is_busy_after_all_is_opened_again() -> None:
    view = draining(0, since=60, gate_open=False, gate_shut_at=NOW - 20)
    assert steps(view, readings(0, 1)) == ["open 0"]


def test_only_readings_from_after_the_last_connection_came_in_prove_a_shut_pod_idle() -> None:
    def shut(ago: float) -> PodView:
        return draining(0, since=60, gate_open=False, gate_shut_at=NOW - ago)

    two = readings(0, 0, ago=1)
    assert steps(shut(leaving.GATE_SECONDS + 2), two) == ["delete 0 DrainFinished"]
    assert steps(shut(leaving.GATE_SECONDS + 1.9), two) == []
    unknown = draining(0, since=60, gate_open=False, gate_shut_at=None)
    assert steps(unknown, two) == [], "nobody knows since when it is shut"


def test_a_pod_without_a_gate_is_neither_shut_nor_opened() -> None:
    assert leaving.step(draining(0, since=60), observe(fleet(0), [], {0: 1})) is None


@pytest.mark.parametrize(
    ("view", "seconds"),
    [
        (draining(0, since=1), SETTLE - 1),
        (draining(0, since=SETTLE), TIMEOUT - SETTLE),
        (draining(0, since=60, gate_open=False, gate_shut_at=NOW - 1), leaving.GATE_SECONDS - 1),
        (draining(0, since=60, gate_open=False, gate_shut_at=NOW - 9), TIMEOUT - 60),
        (draining(0, since=TIMEOUT), None),
        (draining(0, drain_started=None), None),
    ],
)
def test_time_alone_changes_what_is_to_be_done_at_the_next_of_these(
    view: PodView, seconds: float | None
) -> None:
    at = leaving.look_again_at(view, observe(fleet(0, key=POOL), [view]))
    assert at == (None if seconds is None else pytest.approx(NOW + seconds))


def test_an_update_that_is_given_up_later_is_looked_at_then() -> None:
    view = draining(0, since=60, busy_at=NOW - 10)
    seen = observe(fleet(0), [view])
    lost_at = NOW - 10 + seen.update_lasts(view)
    assert leaving.update_lost_at(view, seen) == lost_at
    assert leaving.look_again_at(view, seen) == lost_at
    later = observe(fleet(0), [view], loads={0: (Reading(NOW - 1, 0, busy_at=NOW - 4),)})
    assert leaving.update_lost_at(view, later) == lost_at + 6, "the last sign of work counts"
    without = draining(0, since=60)
    assert leaving.update_lost_at(without, observe(fleet(0), [without], {0: 0})) is None
    finished = observe(fleet(0), [without], loads={0: (Reading(NOW - 1, 0, finished=1),)})
    assert leaving.update_lost_at(without, finished) == NOW - 60 + seen.update_lasts(view)


def test_a_pod_behind_a_proxy_that_was_not_told_to_refuse_begins_its_drain_anew() -> None:
    untold = draining(0, since=60, proxied=True, drain_reason=DrainReason.NODE)
    seen = observe(fleet(0, key=POOL), [untold], {0: 0})
    assert leaving.step(untold, seen) == Drain(untold, DrainReason.NODE)
    outdated = draining(0, since=60, drain_started=None, template="old")
    assert leaving.step(outdated, seen) == Drain(outdated, DrainReason.TEMPLATE)


def test_a_proxied_pod_is_idle_only_while_its_proxy_refuses_and_waits_for_nothing() -> None:
    view = draining(0, since=60, proxied=True, refuse_from=NOW - 60)

    def idle(**of_proxy: object) -> bool:
        told = [Reading(NOW - ago, 0, **of_proxy) for ago in (1.5, 0.5)]  # type: ignore[arg-type]
        seen = observe(fleet(0, key=POOL), [view], loads={0: tuple(told)})
        return leaving.proved_idle(view, seen)

    assert idle(refusing=True, in_flight=0)
    assert not idle(refusing=True, in_flight=1)
    assert not idle(refusing=False, in_flight=0)
    assert not idle()


def test_the_proof_is_good_for_ten_seconds() -> None:
    view = draining(0, since=60)
    for ago, good in ((leaving.PROOF_VALID_SECONDS, True), (10.1, False)):
        seen = observe(fleet(0, key=POOL), [view], loads={0: readings(0, 0, ago=ago)})
        assert leaving.proved_idle(view, seen) is good


def test_a_deletion_says_what_was_left_and_how_long_it_was_waited_for() -> None:
    view = draining(0, since=60)
    seen = observe(fleet(0, key=POOL), [view], loads={0: readings(0, 0)})
    assert leaving.step(view, seen) == Delete(view, Reason.DRAIN_FINISHED, None, 0, 60.0)
    ahead = draining(0, since=-5, over=Reason.POD_FAILED)
    assert leaving.step(ahead, observe(fleet(0), [ahead])) == Delete(
        ahead, Reason.DRAIN_FINISHED, None, None, 0.0
    )


def test_an_idle_pod_is_shut_once_and_not_again() -> None:
    shut = draining(0, since=60, gate_open=False, gate_shut_at=NOW - 1)
    seen = observe(fleet(0, key=POOL), [shut], loads={0: readings(0)})
    assert leaving.step(shut, seen) is None
    opened = draining(0, since=60, gate_open=True)
    seen = observe(fleet(0, key=POOL), [opened], loads={0: readings(0)})
    assert leaving.step(opened, seen) == SetGate(opened, False)


def test_a_busy_pod_is_stopped_from_its_time_out_on() -> None:
    for since, stopped in ((TIMEOUT - 0.1, False), (TIMEOUT, True)):
        view = draining(0, since=since)
        spec = fleet(0, key=POOL, on_timeout=OnTimeout.STOP)
        assert (leaving.step(view, observe(spec, [view], {0: 1})) is not None) is stopped
