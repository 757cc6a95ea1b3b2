"""The simulator: the rules of placement on a virtual clock, and the figures that are made of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kit.simulate import traces as invented
from tests.kit.simulate.foresight import fewest_pods

from mediafleet_common.api.egress.costs import CpuCost, Memory, RequestType
from mediafleet_scheduler.simulate.figures import Figures, changes, figures
from mediafleet_scheduler.simulate.running import refuses, run
from mediafleet_scheduler.simulate.setup import Outcome, Placing, Setup
from mediafleet_scheduler.simulate.traces import TraceJob, load

TRACK, WEB = RequestType.TRACK, RequestType.WEB


def told(jobs: Sequence[TraceJob], setup: Setup, placing: Placing) -> Figures:
    return figures(run(jobs, setup, placing), setup)


@pytest.mark.parametrize("placing", Placing)
@given(seed=st.integers(0, 10_000), pods=st.integers(1, 6), cpu=st.sampled_from([2.0, 4.0, 8.0]))
def test_every_job_is_placed_once_or_refused_and_no_pod_takes_more_than_it_may(
    placing: Placing, seed: int, pods: int, cpu: float
) -> None:
    chance = random.Random(seed)
    jobs = invented.mixed(chance, per_second=0.1, span=400, mean=120) or invented.burst(chance, 3)
    setup = Setup(pods=pods, cpu=cpu, seed=seed)
    outcomes = run(jobs, setup, placing)
    assert [each.job for each in outcomes] == list(jobs)
    for each in outcomes:
        assert (each.pod is None) == (each.began is None) == (each.gave_up is not None)
        assert 1 <= each.attempts <= 3
    held = [0.0] * pods
    running = [0] * pods
    costs = {(each.began, each.pod): each for each in outcomes}
    assert len(costs) <= len(outcomes)
    for at, pod, step, cost in _steps(outcomes, setup):
        if step > 0 and running[pod]:
            assert held[pod] + cost <= cpu * 0.8 + 1e-9, at
        held[pod] += step * cost
        running[pod] += step
        assert held[pod] <= cpu + 1e-9


def _steps(outcomes: Sequence[Outcome], setup: Setup) -> list[tuple[float, int, int, float]]:
    steps = []
    for each in outcomes:
        if each.pod is not None and each.began is not None and each.ended is not None:
            cost = setup.costs.of(each.job.kind)
            steps += [(each.began, each.pod, 1, cost), (each.ended, each.pod, -1, cost)]
    return sorted(steps, key=lambda step: (step[0], step[2]))


@given(jobs=st.integers(1, 60), pods=st.integers(1, 20), seed=st.integers(0, 99))
def test_equal_jobs_in_a_burst_are_spread_evenly(jobs: int, pods: int, seed: int) -> None:
    burst = invented.burst(random.Random(seed), jobs)
    each = told(burst, Setup(pods=pods, cpu=200, seed=seed), Placing.SPREAD)
    assert max(each.jobs_per_pod) - min(each.jobs_per_pod) <= 1


def test_the_same_seed_gives_the_same_outcome_and_another_one_does_not() -> None:
    jobs = load("burst")
    first, again, other = (run(jobs, Setup(seed=n), Placing.UPSTREAM) for n in (1, 1, 2))
    assert first == again
    assert first != other


def test_upstreams_auction_piles_a_burst_up_and_the_desk_does_not() -> None:
    jobs, setup = load("burst"), Setup()
    auction, desk = (told(jobs, setup, each) for each in (Placing.UPSTREAM, Placing.SPREAD))
    first_choice = max(auction.jobs_per_pod) + auction.turned_down
    assert first_choice >= 45, "of 51 jobs, upstream sends nearly all to one pod"
    assert auction.turned_down >= 20
    assert auction.wait_p50 > 0.5
    assert (desk.skew, desk.turned_down, desk.asked_again) == (1, 0, 0)
    assert desk.wait_max < 0.01


def test_packing_empties_pods_and_spreading_does_not() -> None:
    jobs, setup = load("day"), Setup()
    pack, spread = (told(jobs, setup, each) for each in (Placing.PACK, Placing.SPREAD))
    assert pack.refused == spread.refused == 0
    assert pack.emptied_mean > spread.emptied_mean + 2
    assert pack.busy_most < spread.busy_most


def test_what_never_fits_is_asked_for_once_and_what_does_not_fit_now_three_times() -> None:
    page = TraceJob(0.0, WEB, 60.0)
    never, later = (
        run([page, page], Setup(pods=1, cpu=cpu), Placing.PACK)[1] for cpu in (2.0, 4.0)
    )
    assert (never.pod, never.attempts) == (None, 1)
    assert (later.pod, later.attempts) == (None, 3)
    assert later.gave_up is not None
    assert 3.0 <= later.gave_up <= 6.1


def test_upstream_gives_up_after_six_to_nine_seconds() -> None:
    page = TraceJob(0.0, WEB, 60.0)
    late = TraceJob(5.0, WEB, 60.0)
    refused = run([page, late], Setup(pods=1, cpu=4.0), Placing.UPSTREAM)[1]
    assert refused.gave_up is not None
    assert 6.0 <= refused.gave_up - late.at <= 9.0


def test_a_place_that_frees_in_time_is_found_by_asking_again() -> None:
    jobs = [TraceJob(0.0, WEB, 2.0), TraceJob(0.5, WEB, 60.0)]
    later = run(jobs, Setup(pods=1, cpu=4.0), Placing.PACK)[1]
    assert later.pod == 0
    assert later.attempts == 2
    assert later.waited is not None
    assert later.waited > 1.4


def test_with_a_queue_a_place_that_frees_is_given_at_once_and_rooms_take_turns() -> None:
    first = TraceJob(0.0, WEB, 3.0)
    waiting = [
        TraceJob(0.5, WEB, 3.0, "a"),
        TraceJob(0.6, WEB, 3.0, "a"),
        TraceJob(0.7, WEB, 3.0, "b"),
    ]
    setup = Setup(pods=1, cpu=4.0, queue_seconds=20.0)
    outcomes = run([first, *waiting], setup, Placing.PACK)
    begun = [each.began for each in outcomes]
    assert [each.attempts for each in outcomes] == [1, 1, 1, 1]
    assert begun == [pytest.approx(at, abs=0.02) for at in (0.0, 3.0, 9.0, 6.0)]


def test_a_wait_ends_and_the_client_asks_again() -> None:
    jobs = [TraceJob(0.0, WEB, 60.0), TraceJob(1.0, WEB, 60.0)]
    late = run(jobs, Setup(pods=1, cpu=4.0, queue_seconds=2.0), Placing.PACK)[1]
    assert (late.pod, late.attempts) == (None, 3)
    assert late.gave_up is not None
    assert 9.0 <= late.gave_up - 1.0 <= 12.1, "three waits of 2 s, and the pauses of the client"
    auction = run(jobs, Setup(pods=1, cpu=4.0, queue_seconds=2.0), Placing.UPSTREAM)[1]
    assert auction.gave_up is not None
    assert auction.gave_up - 1.0 <= 9.0, "an auction has no queue"


def test_jobs_that_use_less_than_they_cost_make_room_once_they_are_measured() -> None:
    light = [TraceJob(at / 10, TRACK, 600.0, real_cores=0.1) for at in range(6)]
    more = [TraceJob(60.0 + 20 * at, TRACK, 600.0, real_cores=0.1) for at in range(6)]
    each = told([*light, *more], Setup(pods=1, cpu=4.0), Placing.PACK)
    assert each.placed == 12
    dear = [TraceJob(job.at, TRACK, job.seconds) for job in (*light, *more)]
    assert told(dear, Setup(pods=1, cpu=4.0), Placing.PACK).placed == 6


def outcome(pod: int | None, at: float, seconds: float) -> Outcome:
    began = None if pod is None else at
    return Outcome(TraceJob(at, TRACK, seconds), pod, began, 1, gave_up=at if pod is None else None)


def test_the_figures_of_a_run() -> None:
    run_of_two = [outcome(0, 0, 10), outcome(0, 5, 10), outcome(1, 10, 10), outcome(None, 10, 5)]
    each = figures(run_of_two, Setup(pods=3))
    assert (each.jobs, each.placed, each.refused) == (4, 3, 1)
    assert each.refused_by_type == {TRACK: 1}
    assert each.jobs_per_pod == (2, 1, 0)
    assert each.busy_most == 2
    assert each.busy_mean == pytest.approx((5 * 1 + 5 * 1 + 5 * 2 + 5 * 1) / 20)
    assert each.emptied_mean == 2.0
    assert each.skew == 2, "at 5 s, when two jobs run on one pod"


def test_an_end_comes_before_a_begin_at_the_same_moment() -> None:
    assert list(changes([outcome(0, 0, 10), outcome(0, 10, 5)]))[1][2] == -1


def test_nothing_at_all_has_figures_too() -> None:
    each = figures([outcome(None, 0, 5)], Setup(pods=2))
    assert (each.placed, each.wait_p99, each.busy_mean, each.emptied_mean) == (0, 0.0, 0.0, 2.0)


BOUNDS = {
    "nothing": ([], 0),
    "one": ([0.5], 1),
    "what fills a pod": ([0.5] * 12, 1),
    "and one more": ([0.5] * 13, 2),
    "pages do not share 8 CPUs": ([4.0, 4.0, 4.0], 3),
    "tracks fit beside pages": ([4.0, 4.0, 0.5, 0.5, 0.5, 0.5], 2),
    "a job that is alone on a pod": ([8.0, 0.5], 2),
}


@pytest.mark.parametrize(("costs", "wanted"), BOUNDS.values(), ids=BOUNDS)
def test_the_fewest_pods_that_any_placing_needs(costs: list[float], wanted: int) -> None:
    assert fewest_pods(costs, Setup(cpu=8.0)) == wanted


def test_pages_that_come_together_are_bounded_by_pulse_clients_as_at_the_desk() -> None:
    pages = [TraceJob(0.0, RequestType.ROOM_COMPOSITE, 600.0)] * 20
    setup = Setup(pods=1, cpu=72.0, costs=CpuCost(room_composite=3.0))
    for clients, placed in ((60, 15), (48, 12), (1000, 19)):
        outcomes = run(pages, replace(setup, max_pulse_clients=clients), Placing.PACK)
        assert sum(each.pod is not None for each in outcomes) == placed


@pytest.mark.parametrize("placing", list(Placing))
def test_whether_a_job_is_refused_is_found_without_the_rest_of_the_trace(placing: Placing) -> None:
    jobs, heard = load("burst"), list[int]()
    for pods in (1, 2, 3, 10):
        setup = Setup(pods=pods)
        refused = any(each.pod is None for each in run(jobs, setup, placing))
        assert refuses(jobs, setup, placing, heard.append) is refused


def test_who_waits_hears_how_far_a_run_is() -> None:
    jobs, heard = load("mixed"), list[int]()
    run(jobs, Setup(), Placing.SPREAD, heard.append)
    assert sum(heard) == len(jobs) // 100 * 100


def test_a_pod_takes_no_job_that_its_memory_or_its_pulse_clients_have_no_room_for() -> None:
    pages = [TraceJob(0.1 * n, RequestType.WEB, 100.0, "") for n in range(4)]
    plenty = Setup(pods=1, cpu=64.0)
    short = {
        "memory": replace(plenty, memory=Memory(max_gb=6, cost_gb=2)),
        "clients": replace(plenty, max_pulse_clients=8),
    }
    for placing in Placing:
        placed = {
            name: sum(each.pod is not None for each in run(pages, setup, placing))
            for name, setup in {"plenty": plenty, **short}.items()
        }
        assert placed == {"plenty": 4, "memory": 2, "clients": 2}, placing
