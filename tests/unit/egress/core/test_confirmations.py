"""When a pod's jobs are over for livekit-server, too."""

from __future__ import annotations

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.reports.merged_config import UPDATE_SECONDS
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.confirmations import (
    FIRST_PAUSE_SECONDS,
    MAX_AT_ONCE,
    MAX_PAUSE_SECONDS,
    Confirmations,
)

NOW = 1_000_000.0
DRAINING = {"u0"}


def job(egress_id: str, started_at: float | None = NOW) -> Job:
    return Job(egress_id, "/rec", "p0", "u0", "c0", RequestType.TRACK, 0.5, "t", NOW, started_at)


def test_an_end_that_was_heard_counts_until_livekit_server_knows_it() -> None:
    ends = Confirmations(NOW)
    ends.over(job("e1"), NOW)
    assert ends.on("u0", (), NOW) is None, "nobody was asked"
    assert ends.due(DRAINING, NOW) == ["e1"]
    ends.answered("e1", False, NOW)
    assert ends.on("u0", (), NOW) == 1
    assert ends.due(DRAINING, NOW) == []
    assert ends.due(DRAINING, NOW + FIRST_PAUSE_SECONDS) == ["e1"]
    ends.answered("e1", True, NOW)
    assert ends.on("u0", (), NOW) == 0


def test_where_livekit_server_is_silent_nobody_knows() -> None:
    ends = Confirmations(NOW)
    ends.over(job("e1"), NOW)
    ends.answered("e1", False, NOW)
    ends.answered("e1", None, NOW)
    assert ends.on("u0", (), NOW) is None
    assert ends.on("u1", (), NOW) == 0, "the other pod has nothing to be told"


def test_jobs_that_run_count_with_those_that_have_ended() -> None:
    ends = Confirmations(NOW)
    ends.over(job("e1"), NOW)
    ends.answered("e1", False, NOW)
    assert ends.on("u0", {"e1", "e2"}, NOW) == 2
    ends.watch([job("e2"), job("e3", started_at=None)], NOW)
    assert ends.due(DRAINING, NOW + 1) == ["e1", "e2"]


def test_only_pods_that_drain_are_asked_about_and_ends_of_others_are_forgotten_in_time() -> None:
    ends = Confirmations(NOW)
    ends.over(job("e1"), NOW)
    assert ends.due((), NOW) == []
    assert ends.due(DRAINING, NOW + UPDATE_SECONDS) == []
    assert ends.on("u0", (), NOW) == 0


def test_what_livekit_server_calls_active_is_waited_for_however_long() -> None:
    ends, now = Confirmations(NOW), NOW
    ends.over(job("e1"), NOW)
    while now < NOW + 10 * UPDATE_SECONDS:
        for egress_id in ends.due(DRAINING, now):
            ends.answered(egress_id, False, now)
        now += MAX_PAUSE_SECONDS
    assert ends.on("u0", (), NOW) == 1


def test_an_end_after_a_long_run_is_asked_about_at_once() -> None:
    ends = Confirmations(NOW)
    ends.watch([job("e1")], NOW)
    for _ in range(10):
        ends.answered("e1", False, NOW)
    assert ends.due(DRAINING, NOW + 1) == []
    ends.over(job("e1"), NOW + 1)
    assert ends.due(DRAINING, NOW + 1) == ["e1"]


def test_a_desk_that_does_not_know_of_earlier_ends_says_so_of_the_pods_that_were_there() -> None:
    ends = Confirmations(NOW, {"u0"})
    assert ends.on("u0", (), NOW + UPDATE_SECONDS - 1) is None
    assert ends.on("u0", (), NOW + UPDATE_SECONDS) == 0
    assert ends.on("u1", (), NOW) == 0, "it came later"


def test_a_desk_that_knows_of_all_ends_that_may_be_on_their_way_need_not_wait() -> None:
    assert Confirmations(NOW - UPDATE_SECONDS, {"u0"}).on("u0", (), NOW) == 0


def test_pods_that_are_gone_are_forgotten() -> None:
    ends = Confirmations(NOW)
    ends.over(job("e1"), NOW)
    ends.keep_only({"u1"})
    assert ends.due(DRAINING, NOW) == []


def test_an_answer_about_a_job_that_nobody_asks_about_is_none() -> None:
    ends = Confirmations(NOW)
    ends.answered("e1", False, NOW)
    assert ends.on("u0", (), NOW + UPDATE_SECONDS) == 0


def test_of_the_pods_that_drain_the_jobs_that_ended_first_are_asked_about_first() -> None:
    ends = Confirmations(NOW)
    for number in range(MAX_AT_ONCE + 2):
        each = job(f"e{number}")._replace(worker_uid=f"u{number % 3}")
        ends.over(each, NOW + number / 100)
    later = NOW + 1
    assert ends.due({"u0", "u2"}, later)[:3] == ["e0", "e2", "e3"]
    assert len(ends.due({"u0", "u1", "u2"}, later)) == MAX_AT_ONCE
    ends.answered("e0", False, later)
    until = later + UPDATE_SECONDS
    assert ends.due({"u0", "u1", "u2"}, until) == ["e0"], "it was asked about, the others are old"
    ends.keep_only({"u1"})
    assert ends.due({"u0", "u1", "u2"}, until) == []
