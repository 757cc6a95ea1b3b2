"""What the rushes of a fleet's last four weeks needed: what counts, and how small it stays."""

from __future__ import annotations

import base64
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.api.scaling.autoscaling import Autoscaling, Engine
from mediafleet_common.api.scaling.status import AutoscalingStatus, ForecastStatus
from mediafleet_operator.core.autoscaling.history import past_of, status_of
from mediafleet_operator.core.autoscaling.model import Ahead, Past, Scaling
from mediafleet_operator.core.autoscaling.record import (
    EMPTY,
    GAP_SECONDS,
    KEPT,
    QUARTER_SECONDS,
    Record,
    Watched,
    known,
    noted,
    packed,
    recorded,
    unpacked,
)

FIRST = 2_000_000
"""A quarter hour."""


def begin(quarter: int) -> float:
    return float(quarter * QUARTER_SECONDS)


def watch(record: Record, times: range, peak: int = 8) -> Record:
    """Looks at a need that falls, peaks by so much in each quarter hour, and falls again."""
    for now in times:
        early, late = now % QUARTER_SECONDS < 300, now % QUARTER_SECONDS > 600
        record = noted(record, 8 if early else 4 if late else peak, float(now))
        record = noted(record, 4 if late else 5, float(now))
    return record


def quarters(count: int, every: int = 60, skip: int = 0) -> range:
    start = FIRST * QUARTER_SECONDS
    return range(start + skip, start + count * QUARTER_SECONDS + 1, every)


def test_what_the_need_rose_to_is_recorded_once_the_quarter_hour_is_over() -> None:
    record = EMPTY
    for late, pods in (
        (0, 9),
        (100, 4),
        (200, 6),
        (300, 3),
        (400, 8),
        (500, 2),
        (600, 6),
        (700, 3),
    ):
        record = noted(record, pods, begin(FIRST) + late)
    assert record.watched == Watched(FIRST, 2, 8, begin(FIRST) + 700, True)
    record = noted(record, 3, begin(FIRST) + 800)
    assert record.at(FIRST) is None, "it is not over"
    record = noted(record, 40, begin(FIRST + 1))
    assert record.at(FIRST) == 8
    assert record.at(FIRST + 1) is None
    assert record.at(FIRST - 1) is None
    assert record.end == FIRST + 1


def test_a_need_that_falls_or_rises_by_one_is_no_rush() -> None:
    record = EMPTY
    for late in range(0, QUARTER_SECONDS + 1, 100):
        record = noted(record, 20 - late // 100 + (late == 500), begin(FIRST) + late)
    assert record.at(FIRST) == 0


@pytest.mark.parametrize("late", [GAP_SECONDS, GAP_SECONDS + 1])
def test_what_was_not_watched_from_its_beginning_is_unknown(late: float) -> None:
    record = watch(EMPTY, quarters(1, every=10, skip=int(late)))
    record = noted(record, 3, begin(FIRST + 1) + 9)
    assert (record.at(FIRST) == 8) == (late == GAP_SECONDS)


@pytest.mark.parametrize("gap", [GAP_SECONDS, GAP_SECONDS + 1])
def test_what_was_unknown_for_a_while_does_not_count_and_what_follows_does(gap: float) -> None:
    record = noted(noted(EMPTY, 3, begin(FIRST)), 3, begin(FIRST) + gap)
    record = watch(record, range(int(begin(FIRST) + gap), int(begin(FIRST + 2)) + 31, 30))
    assert (record.at(FIRST) == 8) == (gap == GAP_SECONDS)
    assert record.at(FIRST + 1) == 8


def test_a_gap_over_the_end_of_a_quarter_hour_leaves_both_unknown() -> None:
    record = watch(EMPTY, range(int(begin(FIRST)), int(begin(FIRST + 1)) - 130, 30))
    record = watch(record, range(int(begin(FIRST + 1)) + 130, int(begin(FIRST + 3)) + 31, 30))
    assert record.at(FIRST) is None
    assert record.at(FIRST + 1) is None
    assert record.at(FIRST + 2) == 8


def test_a_clock_that_was_put_back_records_nothing_twice() -> None:
    record = watch(EMPTY, quarters(3))
    back = noted(record, 9, begin(FIRST + 1) + 200)
    assert back.watched is not None
    assert not back.watched.whole
    assert recorded(record, FIRST + 1, 9) == record
    assert watch(back, quarters(3, skip=QUARTER_SECONDS), 9).at(FIRST + 1) == 8


def test_what_is_skipped_is_unknown_and_not_what_it_was_four_weeks_ago() -> None:
    record = recorded(recorded(EMPTY, FIRST, 5), FIRST + 1, 6)
    record = recorded(record, FIRST + KEPT + 5, 7)
    assert record.at(FIRST + KEPT + 1) is None
    assert record.at(FIRST + KEPT + 5) == 7
    assert known(record.peaks) == 1
    again = recorded(record, FIRST + 3 * KEPT, 2)
    assert known(again.peaks) == 1
    assert again.at(FIRST + 3 * KEPT) == 2


@given(
    st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 70000)), max_size=40),
)
def test_it_holds_four_weeks_and_no_more(steps: list[tuple[int, int]]) -> None:
    record, quarter, told = EMPTY, FIRST, dict[int, int]()
    for step, pods in steps:
        quarter += step
        record = recorded(record, quarter, pods)
        told[quarter] = min(pods, 0xFFFE)
    fresh = {each: pods for each, pods in told.items() if each > quarter - KEPT}
    assert {each: record.at(each) for each in told} == {each: fresh.get(each) for each in told}
    assert known(record.peaks) == len(fresh)
    assert len(record.peaks) == 2 * KEPT
    assert unpacked(packed(record.peaks)) == record.peaks


def scaling(record: Record, wanted: int | None = 4) -> Scaling:
    past = Past(5, record=record)
    return Scaling(Engine.BUILTIN, True, "Autoscaling", "", past, 4, wanted, Ahead(True, 60))  # type: ignore[arg-type]


def test_the_next_process_goes_on_with_the_record_of_the_last() -> None:
    record = watch(EMPTY, quarters(9))
    status = status_of(scaling(record))
    assert status.forecast is not None
    assert status.forecast.wanted == 4
    assert status.forecast.known_hours == 2
    found = past_of(AutoscalingStatus.model_validate(status.model_dump(by_alias=True))).record
    assert (found.end, found.peaks) == (record.end, record.peaks)
    assert found.watched is None, "the quarter hour of a restart is unknown"


def test_a_record_of_nothing_says_so() -> None:
    status = status_of(scaling(EMPTY, None))
    assert status.forecast == ForecastStatus()
    assert past_of(status).record == EMPTY


def test_without_a_forecast_there_is_none_in_the_status() -> None:
    assert status_of(Scaling(Engine.BUILTIN, True, "Autoscaling", "", Past())).forecast is None  # type: ignore[arg-type]
    assert Autoscaling(max=3).forecast is None


@pytest.mark.parametrize("seed", range(5))
def test_the_status_takes_a_record_that_cannot_be_made_smaller(seed: int) -> None:
    peaks = random.Random(seed).randbytes(2 * KEPT)
    status = status_of(scaling(Record(FIRST, peaks))).forecast
    assert status is not None
    assert ForecastStatus.model_validate(status.model_dump(by_alias=True)) == status


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no base64",
        base64.b64encode(b"no zlib").decode(),
        base64.b64encode(zlib.compress(b"short")).decode(),
        base64.b64encode(zlib.compress(b"x" * 1_000_000)).decode(),
        base64.b64encode(zlib.compress(b"\0" * 2 * KEPT)[:-6]).decode(),
    ],
)
def test_a_record_that_cannot_be_read_is_none(text: str) -> None:
    assert unpacked(text) is None
    status = AutoscalingStatus(forecast=ForecastStatus(end="2026-01-02T03:00:00Z", record=text))
    assert past_of(status).record == EMPTY


def test_a_record_without_its_end_is_none() -> None:
    status = ForecastStatus(record=packed(recorded(EMPTY, FIRST, 1).peaks))
    assert past_of(AutoscalingStatus(forecast=status)).record == EMPTY
