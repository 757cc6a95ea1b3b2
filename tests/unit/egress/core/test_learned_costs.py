"""What jobs really use, learnt from the load of pods that run mixtures of them."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mediafleet_common.api.egress.costs import CpuCost, RequestType
from mediafleet_common.api.egress.placement import LearnedCosts, Use
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.learned_costs import (
    ENOUGH_JOBS,
    OBSERVATION_SECONDS,
    WARM_UP_SECONDS,
    WINDOW_SECONDS,
    Cost,
    Learned,
    Window,
)
from mediafleet_scheduler.core.egress.accounting.least_squares import Equations, solve

TRACK, WEB, PARTICIPANT = RequestType.TRACK, RequestType.WEB, RequestType.PARTICIPANT


def equations(rows: Sequence[Sequence[float]], told: Sequence[float]) -> Equations:
    sums = Equations(len(rows[0]))
    for row, value in zip(rows, told, strict=True):
        sums.add(row, value)
    return sums


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.floats(0, 9)), max_size=20))
def test_what_is_removed_leaves_the_sums_as_they_were(rows: list[tuple[int, int, float]]) -> None:
    sums, alone = Equations(2), Equations(2)
    for each in (sums, alone):
        each.add((1, 2), 3.0)
    for a, b, told in rows:
        sums.add((a, b), told)
    for a, b, told in rows:
        sums.remove((a, b), told)
    assert sums.gram == alone.gram
    assert sums.target == pytest.approx(alone.target)
    assert sums.square == pytest.approx(alone.square)
    assert sums.count == alone.count


# Columns that differ by less, in several ways at once, are beyond what doubles can tell apart.
NUMBERS = st.floats(-10, 10).map(lambda value: round(value, 2))
Observations = list[tuple[list[float], float]]


def observations(size: int) -> st.SearchStrategy[Observations]:
    row = st.lists(NUMBERS, min_size=size, max_size=size)
    return st.lists(st.tuples(row, NUMBERS), min_size=1, max_size=20)


@settings(max_examples=200)
@example([([0.001, 0], 10), ([2, -0.001], -1)])
@example([([-1, 0.001, 0, 0], 2), ([0, 10, -1, 0.001], -0.001), ([2, 0, -10, 1], 0)])
@example(
    [([1, -0.001, -1, 0.001], -0.001), ([1, 0.5, -1, -0.001], -1), ([0, 1, 0.002, -10], 1)],
)
@given(st.integers(1, 8).flatmap(observations))
def test_no_change_of_a_value_makes_the_fit_better(seen: Observations) -> None:
    """The conditions of Karush, Kuhn and Tucker: no free value pulls, none at 0 would grow, but for
    one that is a mixture of free ones up to 1 in 1e9 of its square: that is left at 0."""
    wanted = equations([row for row, _ in seen], [told for _, told in seen])
    values = solve(wanted).values
    assert min(values) >= 0
    for i, value in enumerate(values):
        pull = wanted.target[i] - sum(
            part * other for part, other in zip(wanted.gram[i], values, strict=True)
        )
        scale = 1 + math.sqrt(wanted.gram[i][i] * wanted.square)
        assert pull <= 4e-5 * scale, "it would grow"
        if value > 1e-6:
            assert abs(pull) <= 1e-5 * scale, "it would change"


def test_a_line_is_found_with_its_error() -> None:
    rows = [[1.0, float(at)] for at in range(10)]
    exact = solve(equations(rows, [2.0 + 3.0 * at for at in range(10)]))
    assert exact.values == pytest.approx([2.0, 3.0])
    assert exact.errors == pytest.approx([0.0, 0.0], abs=1e-5)
    noisy = solve(equations(rows, [2.0 + 3.0 * at + (-1) ** at for at in range(10)]))
    # By the textbook: residual spread over (n - 2), divided by the scatter of the abscissae.
    residual = sum(
        (2.0 + 3.0 * at + (-1) ** at - noisy.values[0] - noisy.values[1] * at) ** 2
        for at in range(10)
    )
    assert noisy.errors[1] == pytest.approx(math.sqrt(residual / 8 / 82.5))


def test_what_is_not_told_apart_has_no_error_that_could_be_trusted() -> None:
    rows = [[float(n), float(n)] for n in range(1, 10)]
    solution = solve(equations(rows, [3.0 * n for n in range(1, 10)]))
    assert sum(solution.values) == pytest.approx(3.0)
    assert math.isinf(max(solution.errors))


def test_one_observation_more_than_unknowns_tells_an_error_and_as_many_tell_none() -> None:
    rows = [[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]
    assert all(map(math.isfinite, solve(equations(rows, [2.1, 5.0, 8.1])).errors))
    assert all(map(math.isinf, solve(equations(rows[:2], [2.1, 5.0])).errors))


def test_a_value_that_would_be_negative_is_zero() -> None:
    rows = [[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]
    assert solve(equations(rows, [3.0, 2.0, 1.0])).values == [pytest.approx(2.0), 0.0]


def job(egress_id: str, kind: RequestType, started_at: float | None) -> Job:
    cores = CpuCost().of(kind)
    return Job(egress_id, "f", "p", "u", "c", kind, cores, "t", 0.0, started_at)


def steady(window: Window, count: int, cores: float, now: float, kind: RequestType = TRACK) -> None:
    jobs = {f"{kind}{n}": job(f"{kind}{n}", kind, now - 100) for n in range(count)}
    window.read(f"pod-{count}", jobs, cores, now)
    window.read(f"pod-{count}", jobs, cores, now + OBSERVATION_SECONDS)


@functools.cache
def simulated(jobs: int, seed: int, noise: float = 0.05) -> Learned:
    """Pods on a virtual clock, which run jobs of varying load and tell it with noise."""
    chance = random.Random(seed)
    window, now, begun = Window(), 0.0, 0
    pods: list[dict[str, tuple[Job, float, float]]] = [{} for _ in range(6)]
    while begun < jobs or any(pods):
        for number, pod in enumerate(pods):
            for egress_id in [key for key, (_, ends, _) in pod.items() if ends <= now]:
                del pod[egress_id]
            if begun < jobs and len(pod) < 4 and chance.random() < 0.03:
                kind = chance.choice(list(TRUE))
                begun += 1
                ends = now + chance.uniform(120, 900)
                uses = TRUE[kind] * chance.uniform(0.75, 1.25)
                pod[f"EG_{begun}"] = (job(f"EG_{begun}", kind, now), ends, uses)
            cores = 0.15 + sum(uses for _, _, uses in pod.values())
            told = max(0.0, cores * chance.gauss(1.0, noise))
            jobs_there = {key: told_job for key, (told_job, _, _) in pod.items()}
            window.read(str(number), jobs_there, told, now)
        now += 5.0
    return window.learned(now)


TRUE = {
    RequestType.ROOM_COMPOSITE: 2.6,
    WEB: 3.1,
    PARTICIPANT: 1.2,
    RequestType.TRACK_COMPOSITE: 0.7,
    TRACK: 0.25,
}


SEEDS: Final = range(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_after_200_jobs_what_is_sure_is_within_15_percent(seed: int) -> None:
    learned = simulated(200, seed)
    pages = {RequestType.ROOM_COMPOSITE, WEB}
    sure = {kind for kind, cost in learned.costs.items() if cost.sure}
    assert pages <= sure, "the types that matter most are sure by then"
    for kind in sure | {PARTICIPANT}:
        assert learned.costs[kind].cores == pytest.approx(TRUE[kind], rel=0.15), kind


def test_costs_are_off_by_as_much_as_their_errors_say() -> None:
    """One job that needs more than its like is in many observations: that is one fact, not many."""
    off = [
        (cost.cores - TRUE[kind]) / cost.error
        for seed in SEEDS
        for kind, cost in simulated(200, seed).costs.items()
    ]
    assert 0.6 < math.sqrt(sum(z * z for z in off) / len(off)) < 1.2


def test_a_few_jobs_are_not_enough() -> None:
    learned = simulated(25, seed=1)
    assert not any(cost.sure for cost in learned.costs.values())


def test_types_that_always_come_together_are_not_told_apart() -> None:
    window = Window()
    for n in range(1, 60):
        jobs = {
            f"{kind}{n}-{k}": job(f"{kind}{n}-{k}", kind, 0.0)
            for kind in (TRACK, WEB)
            for k in range(n % 5 + 1)
        }
        at = 100.0 * n
        window.read("p", jobs, 3.0 * (n % 5 + 1), at)
        window.read("p", jobs, 3.0 * (n % 5 + 1), at + 60)
    learned = window.learned(6100.0)
    assert not any(cost.sure for cost in learned.costs.values())


def test_a_young_job_spoils_no_observation() -> None:
    window = Window()
    window.read("p", {"a": job("a", TRACK, 0.0)}, 9.0, WARM_UP_SECONDS - 1)
    window.read("p", {"a": job("a", TRACK, None)}, 9.0, 50.0)
    window.read("p", {}, 0.1, 100.0)
    assert window.learned(200.0).observations == 0


def test_unknown_load_and_jobs_of_others_are_not_learnt_from() -> None:
    window = Window()
    window.read("p", {"a": job("a", TRACK, 0.0)}, None, 50.0)
    window.read("p", {"a": job("a", TRACK, 0.0)}, None, 150.0)
    assert window.learned(200.0).costs == {}


def test_what_is_old_is_forgotten() -> None:
    window = Window()
    steady(window, 2, 1.0, 100.0)
    assert window.learned(300.0).observations == 1
    assert window.learned(300.0 + WINDOW_SECONDS).costs == {}


def test_observations_of_pods_that_are_gone_end() -> None:
    window = Window()
    window.read("p", {"a": job("a", TRACK, 0.0)}, 0.5, 50.0)
    window.keep_only(set())
    window.read("p", {}, 0.0, 150.0)
    assert window.learned(200.0).observations == 0


SURE = Cost(0.3, 0.02, ENOUGH_JOBS)
ESTIMATES = {
    # learnt, rule -> what is sent for a track of 0.5
    "nothing is learnt of it": (None, LearnedCosts(use=Use.APPLY), None),
    "it is only observed": (SURE, LearnedCosts(), None),
    "cost and error": (SURE, LearnedCosts(use=Use.APPLY), 0.32),
    "not below the floor": (SURE, LearnedCosts(use=Use.APPLY, floor=0.9), 0.45),
    "not above the ceiling": (Cost(2.0, 0.1, 50), LearnedCosts(use=Use.APPLY, ceiling=1.5), 0.75),
    "too few jobs": (Cost(0.3, 0.02, ENOUGH_JOBS - 1), LearnedCosts(use=Use.APPLY), None),
    "too large an error": (Cost(0.3, 0.03, 50), LearnedCosts(use=Use.APPLY), None),
    "no error to speak of": (Cost(0.3, math.inf, 50), LearnedCosts(use=Use.APPLY), None),
    "nothing used": (Cost(0.0, 0.0, 50), LearnedCosts(use=Use.APPLY), None),
}


@pytest.mark.parametrize(("cost", "rule", "wanted"), ESTIMATES.values(), ids=ESTIMATES)
def test_what_is_sent_as_estimated_cpu(
    cost: Cost | None, rule: LearnedCosts, wanted: float | None
) -> None:
    learned = Learned({TRACK: cost} if cost else {})
    estimate = learned.estimate(TRACK, CpuCost(), rule)
    assert estimate == (None if wanted is None else pytest.approx(wanted))
