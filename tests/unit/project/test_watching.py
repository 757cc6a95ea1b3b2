"""The cluster tests' watcher itself: a lenient one would pass a product that cuts recordings."""

from __future__ import annotations

import pytest
from tests.kit.fleets.changes import Change, NewTemplate, Range, Scale, draw
from tests.kit.watching.causes import Outage, scale_downs
from tests.kit.watching.replicas import Told
from tests.kit.watching.verdicts import Deletion, Fault, Job, judge, waited_for

TIMEOUT = 60.0


def deletion(at: float = 100.0, **more: object) -> Deletion:
    fields: dict[str, object] = {
        "pod_uid": "u",
        "pod": "rec-0",
        "fleet": "rec",
        "at": at,
        "drain_started": 90.0,
        "was_listed": True,
    }
    return Deletion(**{**fields, **more})  # type: ignore[arg-type]


def job(started_at: float, ended_at: float | None, pod_uid: str = "u") -> Job:
    return Job("EG_1", pod_uid, started_at, ended_at)


@pytest.mark.parametrize(
    ("deleted", "jobs", "faults"),
    [
        pytest.param(deletion(), [], [], id="idle all its life"),
        pytest.param(deletion(), [job(80, 99.9)], [], id="idle at last"),
        pytest.param(deletion(), [job(80, 100.1)], [Fault.BUSY], id="still busy"),
        pytest.param(deletion(), [job(100, 101)], [Fault.BUSY], id="a job came that very moment"),
        pytest.param(deletion(), [job(80, 100)], [], id="it ended that very moment"),
        pytest.param(deletion(), [job(80, None)], [Fault.BUSY, Fault.LOST], id="cut off"),
        pytest.param(deletion(), [job(101, 102)], [], id="a job after the deletion: not its fault"),
        pytest.param(deletion(), [job(80, 120, "other")], [], id="another pod is busy"),
        pytest.param(deletion(150.0), [job(80, 151)], [], id="busy, but the drain has timed out"),
        pytest.param(
            deletion(149.9), [job(80, 151)], [Fault.BUSY], id="busy just before the time-out"
        ),
        pytest.param(
            deletion(drain_started=None), [], [Fault.NOT_DRAINED], id="idle, listed, not drained"
        ),
        pytest.param(
            deletion(drain_started=None, was_listed=False), [], [], id="never listed: no drain"
        ),
        pytest.param(
            deletion(drain_started=None),
            [job(80, 120)],
            [Fault.BUSY, Fault.NOT_DRAINED],
            id="busy and not drained: no time-out to hide behind",
        ),
        pytest.param(
            deletion(preconditioned=False), [], [Fault.UNCONDITIONAL], id="without its uid"
        ),
        pytest.param(deletion(preconditioned=True), [], [], id="with its uid"),
    ],
)
def test_a_deletion_is_judged_by_the_jobs_of_its_own_pod(
    deleted: Deletion, jobs: list[Job], faults: list[Fault]
) -> None:
    assert [each.fault for each in judge([deleted], jobs, TIMEOUT)] == faults


def test_a_job_that_never_ends_is_lost_even_when_nobody_deleted_its_pod() -> None:
    (violation,) = judge([], [job(1, None)], TIMEOUT)
    assert violation.fault is Fault.LOST


@pytest.mark.parametrize(
    ("mine", "waited"),
    [
        pytest.param(job(80, 89), False, id="idle when the drain began"),
        pytest.param(job(80, 91), True, id="busy when the drain began"),
        pytest.param(job(91, 92), True, id="a late job"),
        pytest.param(job(80, 95, "other"), False, id="another pod's job"),
    ],
)
def test_a_pod_was_waited_for_when_a_job_outlived_the_start_of_its_drain(
    mine: Job, waited: bool
) -> None:
    assert waited_for([deletion()], [mine]) == ({"u"} if waited else set())


def drawn(seed: int = 7, fleet: str = "rec", count: int = 40) -> list[Change]:
    return draw(seed, fleet, count, Range(2, 8), start=4)


def test_changes_are_the_same_for_the_same_seed_and_differ_between_fleets() -> None:
    assert drawn() == drawn()
    assert drawn(fleet="a") != drawn(fleet="b")
    assert drawn(seed=1) != drawn(seed=2)


def test_every_scale_is_a_change_within_its_range_and_a_tenth_are_templates() -> None:
    present = 4
    for change in drawn():
        if isinstance(change, Scale):
            assert change.replicas != present
            assert 2 <= change.replicas <= 8
            present = change.replicas
    revisions = [change.revision for change in drawn() if isinstance(change, NewTemplate)]
    assert revisions == list(range(1, 5))


def full_pods(count: int, since: float, until: float | None = None) -> list[Job]:
    return [Job(f"EG_{since}_{n}", f"u{n // 3}", since, until) for n in range(3 * count)]


@pytest.mark.parametrize(
    ("told", "jobs", "right"),
    [
        pytest.param([(0, 0), (5, 3)], full_pods(3, 1), [], id="up is not down"),
        pytest.param([(0, 3)], full_pods(3, 1), [], id="nothing happened"),
        pytest.param(
            [(0, 3), (50, 2)], full_pods(2, 1) + full_pods(1, 1, 40), [True], id="work had ended"
        ),
        pytest.param(
            [(0, 3), (39, 2), (41, 3)],
            full_pods(2, 1) + full_pods(1, 1, 40),
            [False],
            id="a moment before its work ended",
        ),
        pytest.param(
            [(0, 3), (20, 0), (22, 3)], full_pods(3, 1), [False], id="a scaler that answered 0"
        ),
        pytest.param(
            [(0, 3), (50, 1)], full_pods(2, 1) + full_pods(1, 1, 40), [False], id="one too many"
        ),
        pytest.param([(0, 3), (20, None)], full_pods(3, 1), [False], id="the number taken out"),
    ],
)
def test_a_scale_down_is_right_only_when_the_work_had_become_less(
    told: list[tuple[float, int | None]], jobs: list[Job], right: list[bool]
) -> None:
    outages = [Outage("Redis", 10.0), Outage("KEDA", 60.0)]
    found = scale_downs([Told(at, count) for at, count in told], jobs, 3, outages)
    assert [each.right for each in found] == right
    assert {each.outage for each in found} <= {"Redis"}, "the one that had begun by then"
