"""Cron windows with time zones: when one is open, also where clocks change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.api.scaling.autoscaling import Autoscaling
from mediafleet_common.api.scaling.schedule import Window
from mediafleet_operator.core.autoscaling import cron
from mediafleet_operator.core.autoscaling.model import policy
from mediafleet_operator.core.autoscaling.schedule import Bounds, bounds, is_open


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=cron.zone(zone)).timestamp()


def window(start: str, end: str, zone: str = "UTC", **more: int) -> Window:
    return Window.model_validate({"start": start, "end": end, "time_zone": zone, "min": 5, **more})


@dataclass(frozen=True)
class Case:
    claim: str
    cron: str
    now: str
    last: str | None


CRONS = [
    Case("each day", "0 18 * * *", "2026-03-10 17:59", "2026-03-09 18:00"),
    Case("the moment itself counts", "0 18 * * *", "2026-03-10 18:00", "2026-03-10 18:00"),
    Case("weekdays by number", "0 18 * * 1-5", "2026-03-08 12:00", "2026-03-06 18:00"),
    Case("weekdays by name", "0 18 * * mon-fri", "2026-03-08 12:00", "2026-03-06 18:00"),
    Case("Sunday is 0", "0 6 * * 0", "2026-03-10 00:00", "2026-03-08 06:00"),
    Case("Sunday is 7", "0 6 * * 7", "2026-03-10 00:00", "2026-03-08 06:00"),
    Case("steps", "*/20 * * * *", "2026-03-10 10:59", "2026-03-10 10:40"),
    Case("a step from a number on", "5/20 * * * *", "2026-03-10 10:59", "2026-03-10 10:45"),
    Case("lists", "0 8,20 * * *", "2026-03-10 19:00", "2026-03-10 08:00"),
    Case("a month by name", "0 0 1 jan *", "2026-03-10 10:00", "2026-01-01 00:00"),
    Case("a day of month or of week", "0 0 1 * 1", "2026-03-03 00:00", "2026-03-02 00:00"),
    Case("29 February", "0 0 29 2 *", "2026-03-10 10:00", "2024-02-29 00:00"),
    Case("a day that never comes", "0 0 30 2 *", "2026-03-10 10:00", None),
]


@pytest.mark.parametrize("case", CRONS, ids=lambda case: case.claim)
def test_a_cron_expression_was_last_due(case: Case) -> None:
    found = cron.parse(case.cron).last(at(case.now), cron.zone("UTC"))
    assert found == (None if case.last is None else at(case.last))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 18 * *", "five fields"),
        ("60 18 * * *", "minute '60' is not one of 0-59"),
        ("0 24 * * *", "hour '24'"),
        ("0 0 0 * *", "day of month '0'"),
        ("0 0 * 13 *", "month '13'"),
        ("0 0 * * 8", "day of week '8'"),
        ("0 0 * * FRI-MON", "day of week 'FRI-MON' is not .* a range from less to more"),
        ("*/0 * * * *", r"minute '\*/0' is not .* with a step above 0"),
        ("0 0 * * FREITAG", "day of week 'FREITAG'"),
    ],
)
def test_a_wrong_cron_expression_is_refused_with_the_field(text: str, words: str) -> None:
    with pytest.raises(cron.BadScheduleError, match=words):
        cron.parse(text)


def test_what_a_half_hour_change_leaves_out_is_due_after_it() -> None:
    # 4 October 2026 on Lord Howe Island: 02:00 becomes 02:30.
    name = "Australia/Lord_Howe"
    change = at("2026-10-04 01:59", name) + 60
    due = cron.parse("20,35 2 * * *")
    assert due.last(change + 10 * 60, cron.zone(name)) == change + 5 * 60, "02:35"
    assert due.last(change + 30 * 60, cron.zone(name)) == change + 20 * 60, "02:20, as 02:50"


def test_an_unknown_time_zone_is_refused_with_the_fix() -> None:
    with pytest.raises(cron.BadScheduleError, match=r"Mars/Olympus.*Europe/Berlin"):
        cron.zone("Mars/Olympus")


BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("claim", "opened", "now", "expected"),
    [
        ("before", window("0 18 * * *", "0 23 * * *", BERLIN), "2026-07-01 17:59", False),
        ("inside", window("0 18 * * *", "0 23 * * *", BERLIN), "2026-07-01 18:00", True),
        ("at the end", window("0 18 * * *", "0 23 * * *", BERLIN), "2026-07-01 23:00", False),
        ("over midnight", window("0 22 * * *", "0 2 * * *", BERLIN), "2026-07-02 01:59", True),
        ("over the weekend", window("0 18 * * 5", "0 6 * * 1", BERLIN), "2026-07-05 12:00", True),
        ("after it", window("0 18 * * 5", "0 6 * * 1", BERLIN), "2026-07-06 06:00", False),
        ("without an end", window("0 0 1 1 *", "0 0 30 2 *", BERLIN), "2026-07-06 06:00", True),
        (
            "winter has its own offset",
            window("0 18 * * *", "0 23 * * *", BERLIN),
            "2026-01-05 18:00",
            True,
        ),
    ],
)
def test_a_window_is_open_from_its_start_to_its_end(
    claim: str, opened: Window, now: str, expected: bool
) -> None:
    assert is_open(opened, at(now, BERLIN)) is expected, claim


def test_a_start_that_the_clock_skips_opens_after_the_change() -> None:
    # 29 March 2026 in Berlin: 02:00 becomes 03:00.
    night = window("30 2 * * *", "0 6 * * *", BERLIN)
    change = at("2026-03-29 01:59", BERLIN) + 60
    assert not is_open(night, change)
    assert not is_open(night, change + 29 * 60)
    assert is_open(night, change + 30 * 60)
    assert not is_open(night, at("2026-03-29 06:00", BERLIN))


def test_an_hour_that_comes_twice_opens_once_and_closes_by_the_later_clock() -> None:
    # 25 October 2026 in Berlin: 03:00 becomes 02:00.
    night = window("30 1 * * *", "30 3 * * *", BERLIN)
    opened = at("2026-10-25 01:30", BERLIN)
    assert is_open(night, opened)
    assert is_open(night, opened + 3 * 3600 - 1)
    assert not is_open(night, opened + 3 * 3600)
    once = window("30 2 * * *", "45 2 * * *", BERLIN)
    second = at("2026-10-25 01:30", BERLIN) + 2 * 3600
    assert datetime.fromtimestamp(second, cron.zone(BERLIN)).strftime("%H:%M") == "02:30"
    assert is_open(once, second - 3600)
    assert not is_open(once, second)


def test_bounds_are_raised_and_replaced_by_the_highest_open_window() -> None:
    asked = policy(
        Autoscaling(
            min=2,
            max=10,
            schedule=[
                window("0 8 * * *", "0 20 * * *", min=4),
                window("0 12 * * *", "0 14 * * *", min=6, max=30),
                window("0 13 * * *", "0 14 * * *", min=1, max=3),
            ],
        )
    )
    day = "2026-07-01"
    assert bounds(asked, at(f"{day} 07:00")) == Bounds(2, 10)
    assert bounds(asked, at(f"{day} 09:00")) == Bounds(4, 10, scheduled=True)
    assert bounds(asked, at(f"{day} 12:30")) == Bounds(6, 30, scheduled=True)
    assert bounds(asked, at(f"{day} 13:30")) == Bounds(6, 30, scheduled=True)


ZONES = ["UTC", BERLIN, "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Cairo"]


@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)),  # noqa: DTZ001 -- UTC, see below
    st.integers(0, 23),
    st.integers(0, 59),
)
def test_a_daily_time_was_due_within_the_last_day_by_the_clock_on_the_wall(
    name: str, moment: datetime, hour: int, minute: int
) -> None:
    now = moment.replace(tzinfo=UTC).timestamp()
    zone = cron.zone(name)
    due = cron.parse(f"{minute} {hour} * * *").last(now, zone)
    assert due is not None
    # A day with a change of the clock is an hour longer at most.
    assert now - 25 * 3600 - 60 <= due <= now
    shown = datetime.fromtimestamp(due, zone)
    if (shown.hour, shown.minute) != (hour, minute):
        before = datetime.fromtimestamp(due - 7200, zone)
        assert shown.utcoffset() != before.utcoffset(), "moved, although no clock changed"


@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)),  # noqa: DTZ001 -- UTC, see below
    st.integers(1, 20),
)
def test_a_window_is_open_for_as_long_as_the_clock_on_the_wall_says(
    name: str, moment: datetime, hours: int
) -> None:
    zone = cron.zone(name)
    opened = window("0 3 * * *", f"0 {3 + hours} * * *", name)
    start = datetime(moment.year, moment.month, moment.day, 4, 0, tzinfo=zone) - timedelta(hours=1)
    first, last = start.timestamp(), start.replace(hour=3 + hours).timestamp()
    assert is_open(opened, first)
    assert is_open(opened, last - 1)
    assert not is_open(opened, last)
