"""What a desk that has just come learns of ends from the ledger's log."""

from __future__ import annotations

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.egress.ledger.recent_ends import RecentEnds, recent_ends
from mediafleet_scheduler.egress.ledger.records import Record, to_json

NOW = 1_000_000.0


def job(egress_id: str = "e1", at: float = NOW, started_at: float | None = NOW) -> Job:
    return Job(egress_id, "/rec", "p0", "u0", "c0", RequestType.TRACK, 0.5, "t", at, started_at)


def text(egress_id: str = "e1", at: float = NOW, started_at: float | None = NOW) -> str:
    return to_json(Record(job(egress_id, at, started_at)))


MADE = {"made": "999000.000", "first": "7"}


def test_a_log_that_holds_every_change_of_its_ledger_tells_all_since_then() -> None:
    assert recent_ends(MADE, [text()], text(), "7") == RecentEnds((job(),), 999_000.0)
    assert recent_ends(MADE, [], "", "") == RecentEnds((), 999_000.0)


def test_one_that_was_cut_off_tells_what_it_goes_back_to() -> None:
    assert recent_ends(MADE, [], text("e0", NOW - 90.0), "8").since == NOW - 90.0
    assert recent_ends(MADE, [], "", "8").since is None


def test_jobs_that_never_started_have_no_end_to_be_told() -> None:
    assert recent_ends(MADE, [text("e1", NOW, None)], "", "7").jobs == ()


def test_an_end_without_its_job_as_older_desks_write_it_leaves_it_unknown() -> None:
    assert recent_ends(MADE, ["over", text()], "", "7") == RecentEnds((job(),), None)


def test_a_ledger_that_an_older_desk_made_tells_no_time_of_its_own() -> None:
    assert recent_ends({}, [], "", "").since is None
    assert recent_ends({}, [], text("e0", NOW - 90.0), "1").since == NOW - 90.0
