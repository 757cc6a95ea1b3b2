"""Words that leave the desk: in its answers, events, metrics and explanations."""

from __future__ import annotations

from mediafleet_scheduler.core.egress.attempt import Outcome, Report


def test_what_came_of_a_start_has_one_word_each() -> None:
    assert [each.value for each in Outcome] == [
        "started",
        "already_exists",
        "no_bid",
        "not_enough_cpu",
        "shutting_down",
        "failed",
        "refused",
        "no_answer",
        "too_late",
    ]


def test_what_is_known_of_a_job_grows_from_nothing_to_its_end() -> None:
    assert [each.value for each in Report] == ["none", "created", "started", "ended"]
    for earlier, later in ((Report.NONE, Report.CREATED), (Report.STARTED, Report.ENDED)):
        assert earlier.or_later(later) is later.or_later(earlier) is later
