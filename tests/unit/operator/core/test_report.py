"""The counts of a status, and what of a plan is remembered for the next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.kit.operator.fleet_builders import NOW, draining, fleet, observe, pending, pod, readings

from mediafleet_common.api.ai_worker_pool import AIWorkerPoolStatus
from mediafleet_common.api.names import Kind, Reason
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolStatus
from mediafleet_common.reports.demand import FleetDemand, ModelDemand
from mediafleet_operator.core.fleet.model import FleetKey, Memory, Observation, Refusal, Unmade
from mediafleet_operator.core.fleet.roster import by_slot
from mediafleet_operator.core.plan import plan
from mediafleet_operator.core.status import failures
from mediafleet_operator.core.status.status import listed, report

POOL = FleetKey(Kind.ORCHESTRATOR_POOL, "media", "rec")
WORKERS = FleetKey(Kind.AI_WORKER_POOL, "media", "rec")


def said(seen: Observation, **more: Any) -> dict[str, Any]:
    return report(seen, plan(seen), None, **more).model_dump()


def broker(**more: Any) -> FleetDemand:
    fields = {"kind": Kind.AI_WORKER_POOL, "namespace": "media", "name": "rec", "at": NOW, **more}
    return FleetDemand.model_validate({"known": True, **fields})


def model(waiting: int, missed: int) -> ModelDemand:
    return ModelDemand(capacity=4, in_use=1, waiting=waiting, missed=missed, other_workers=2)


def test_a_pool_of_workers_says_what_the_broker_says_of_each_model() -> None:
    models = {"llm/b": model(2, 3), "llm/a": model(5, 7)}
    seen = observe(fleet(2, key=WORKERS), [pod(0), pod(1)], {0: 1, 1: 1})
    status = said(replace(seen, broker=broker(workers=2, models=models)))
    assert (status["workers"], status["waiting"], status["missed"]) == (2, 7, 10)
    assert status["in_use"] == 2
    first, second = status["models"]
    assert (first["name"], second["name"]) == ("llm/a", "llm/b")
    assert first == {
        "name": "llm/a",
        "capacity": 4,
        "in_use": 1,
        "waiting": 5,
        "missed": 7,
        "other_workers": 2,
    }


def test_while_the_broker_does_not_know_nothing_is_said_in_its_name() -> None:
    seen = observe(fleet(1, key=WORKERS), [pod(0)], {0: 1})
    for silent in (None, broker(known=False, models={}), broker(models=None)):
        status = said(replace(seen, broker=silent))
        assert (status["workers"], status["waiting"], status["models"]) == (None, None, [])
        found = report(replace(seen, broker=silent), plan(seen), None)
        assert isinstance(found, AIWorkerPoolStatus)


def test_the_list_of_a_pool_has_the_ready_nodes_with_an_address_sorted() -> None:
    nodes = [pod(0, address="https://b:1"), pod(1, address="https://a:1"), pod(2)]
    waits = [pending(3, address="https://c:1"), draining(4, address="https://d:1")]
    planned = plan(observe(fleet(4, key=POOL), [*nodes, *waits]))
    assert listed(planned) == ["https://a:1", "https://b:1"]
    seen = observe(fleet(4, key=POOL), [*nodes, *waits])
    status = report(seen, planned, None)
    assert isinstance(status, OrchestratorPoolStatus)
    assert len(status.list_hash or "") == 10
    swapped = [pod(0, address="https://a:1"), pod(1, address="https://b:1"), pod(2)]
    again = said(observe(fleet(4, key=POOL), [*swapped, *waits]))
    assert again["list_hash"] == status.list_hash, "the same URLs are the same list"


def test_jobs_of_pods_that_drain_count_and_those_of_pods_that_never_were_ready_do_not() -> None:
    pods = [pod(0), pending(1), draining(2)]
    assert said(observe(fleet(2), pods, {0: 2, 1: None, 2: 3}))["jobs"] == 5


def test_the_line_of_a_pod_says_what_is_wrong_with_it_and_first_why_it_drains() -> None:
    pods = [
        pending(0, trouble=Reason.IMAGE_PULL),
        draining(1, over=Reason.POD_FAILED, drain_reason=None),
        pod(2, node_lost_since=NOW - 99),
        pod(3),
    ]
    lines = said(observe(fleet(2), pods, {0: 1, 3: 0}), mode="pack")["pods"]
    assert [(each["name"], each["reason"]) for each in lines] == [
        ("rec-0", "ImagePull"),
        ("rec-1", "PodFailed"),
        ("rec-2", "PodLost"),
        ("rec-3", None),
    ]
    assert [each["load"] for each in lines] == [None, None, None, 0], "a pending pod has no load"


def test_pods_stand_in_the_order_of_their_slots() -> None:
    pods = [pod(10), pod(2), pod(1, name="rec-1b"), pod(1, name="rec-1a")]
    assert [each.name for each in by_slot(pods)] == ["rec-1a", "rec-1b", "rec-2", "rec-10"]


def test_a_refusal_is_counted_until_a_pod_is_made_or_the_template_changes() -> None:
    once = failures.refused(Memory(), Reason.QUOTA_EXCEEDED, "few", NOW)
    assert once.refusal == Refusal(Reason.QUOTA_EXCEEDED, "few", 1, NOW)
    twice = failures.refused(once, Reason.QUOTA_EXCEEDED, "few", NOW + 1)
    assert twice.refusal == Refusal(Reason.QUOTA_EXCEEDED, "few", 2, NOW + 1)
    assert failures.created(twice).refusal is None
    assert failures.template_changed(twice).refusal is None


def test_a_slot_that_somebody_elses_pod_has_is_left_alone_for_a_minute() -> None:
    first = failures.slot_taken(Memory(), 3, NOW)
    assert first.taken == {3: NOW + 60}
    assert failures.slot_taken(first, 4, NOW + 59).taken == {3: NOW + 60, 4: NOW + 119}
    assert failures.slot_taken(first, 4, NOW + 60).taken == {4: NOW + 120}


def test_what_could_not_be_made_is_remembered_until_it_is_there() -> None:
    why = Unmade(Reason.PART_REFUSED, "no Service")
    known = failures.unmade(Memory(taken={1: NOW}), why)
    assert known == Memory(taken={1: NOW}, unmade=why)
    assert failures.unmade(known, None).unmade is None


def test_the_loads_that_a_plan_was_made_by_are_those_of_the_last_minute() -> None:
    fresh = observe(fleet(1), [pod(0)], loads={0: readings(3, ago=60)})
    assert fresh.jobs(pod(0)) == 3
    assert observe(fleet(1), [pod(0)], loads={0: readings(3, ago=60.1)}).jobs(pod(0)) is None
    assert fresh.jobs(pod(0, work_running=False)) == 0
