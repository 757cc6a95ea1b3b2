"""How good the places are over many traces; `python -m bench.placing 1000 100000` runs the same
with more of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest
from bench.placing import PAGES, late_news, packed, pages_missed
from tests.kit.egress.scene import of_kind
from tests.kit.simulate.foresight import missed

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_scheduler.simulate.setup import Outcome, Placing, Setup
from mediafleet_scheduler.simulate.traces import TraceJob
from mediafleet_testbed.standins.egress_rules import Admission

TRACES: Final = 40
JOBS: Final = 1500
DESKS: Final = [each for each in Placing if each.by_desk]


def test_pack_uses_hardly_more_pods_than_any_placing_must() -> None:
    results = [packed(seed, stay=True) for seed in range(TRACES)]
    assert all(each.used >= each.fewest for each in results), "the bound is one"
    assert [each for each in results if not each.within] == []


def test_also_when_jobs_come_and_go_but_for_a_rare_trace() -> None:
    results = [packed(seed, stay=False) for seed in range(TRACES)]
    assert all(each.used >= each.fewest for each in results), "the bound is one"
    assert sum(each.within for each in results) >= 0.95 * TRACES


@pytest.mark.parametrize("cpu", [4.0, 8.0, 16.0])
def test_type_aware_refuses_hardly_a_page_that_foresight_would_place(cpu: float) -> None:
    # Of 1,000 traces 95 in 100 and more; of so few, chance may take some.
    without = sum(not pages_missed(seed, Placing.TYPE_AWARE, cpu) for seed in range(2 * TRACES))
    assert without >= 0.92 * 2 * TRACES


@pytest.mark.parametrize("placing", DESKS)
def test_with_late_and_missing_metrics_nearly_all_is_accepted_and_nothing_beyond_the_rule(
    placing: Placing,
) -> None:
    news = late_news(JOBS, placing)
    assert any(each.pod is None for each in news.outcomes), "it is asked for more than it has"
    assert news.share >= 0.95
    _replay(news.outcomes, news.setup)


def _replay(outcomes: Sequence[Outcome], setup: Setup) -> None:
    """Through a stand-in's admission, which is written from upstream's rule and not from ours."""
    pods = [Admission(setup.cpu, setup.max_cpu_utilization) for _ in range(setup.pods)]
    steps: list[tuple[float, int, int]] = []
    for number, each in enumerate(outcomes):
        if each.began is not None and each.ended is not None:
            steps += [(each.began, 1, number), (each.ended, 0, number)]
    for at, begins, number in sorted(steps):
        each = outcomes[number]
        assert each.pod is not None
        pod, request = pods[each.pod], of_kind(each.job.kind, f"EG_{number}")
        if not begins:
            pod.ended(request.egress_id)
            continue
        assert pod.can_accept(request, at), f"job {number} at {at:.1f} s"
        assert each.job.real_cores is not None
        pod.real_share = each.job.real_cores / setup.costs.of(each.job.kind)
        pod.started(request, at)


def outcome(kind: RequestType, pod: int | None, at: float, seconds: float) -> Outcome:
    began = None if pod is None else at
    return Outcome(TraceJob(at, kind, seconds), pod, began, 1)


FULL = [outcome(RequestType.PARTICIPANT, n, 0.0, 60.0) for n in (0, 1)]


def test_foresight_moves_what_is_in_the_way() -> None:
    late = outcome(RequestType.WEB, None, 10.0, 60.0)
    assert missed([*FULL, late], Setup(pods=2, cpu=5.0), PAGES) == [late.job]
    assert missed([*FULL, late], Setup(pods=1, cpu=5.0), PAGES) == []


def test_foresight_misses_nothing_of_other_types_and_nothing_after_the_end() -> None:
    track = outcome(RequestType.TRACK, None, 10.0, 60.0)
    assert missed([*FULL, track], Setup(pods=2, cpu=5.0), PAGES) == []
    after = outcome(RequestType.WEB, None, 60.0, 60.0)
    assert missed([*FULL, after], Setup(pods=1, cpu=5.0), PAGES) == [after.job]
