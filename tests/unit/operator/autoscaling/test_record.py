"""What a fleet has needed in its last four weeks: what counts, and how small it stays."""

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


def watch(record: Record, times: range, pods: int = 3) -> Record:
    for now in times:
        record = noted(record, pods, float(now))
    return record


def quarters(count: int, every: int = 60, skip: int = 0) -> range:
    start = FIRST * QUARTER_SECONDS
    return range(start + skip, start + count * QUARTER_SECONDS + 1, every)


def test_a_quarter_hour_is_recorded_with_the_most_once_it_is_over() -> None:
    record = watch(EMPTY, range(int(begin(FIRST)), int(begin(FIRST)) + 300, 30), pods=2)
    record = noted(record, 7, begin(FIRST) + 330)
    record = watch(record, range(int(begin(FIRST)) + 360, int(begin(FIRST + 1)), 30), pods=1)
    assert record.at(FIRST) is None, "it is not over"
    record = noted(record, 4, begin(FIRST + 1))
    assert record.at(FIRST) == 7
    assert record.at(FIRST + 1) is None
    assert record.at(FIRST - 1) is None
    assert record.end == FIRST + 1


@pytest.mark.parametrize("late", [GAP_SECONDS, GAP_SECONDS + 1])
def test_what_was_not_watched_from_its_beginning_is_unknown(late: float) -> None:
    record = watch(EMPTY, quarters(1, every=10, skip=int(late)))
    record = noted(record, 3, begin(FIRST + 1) + 9)
    assert (record.at(FIRST) == 3) == (late == GAP_SECONDS)


@pytest.mark.parametrize("gap", [GAP_SECONDS, GAP_SECONDS + 1])
def test_what_was_unknown_for_a_while_does_not_count_and_what_follows_does(gap: float) -> None:
    record = noted(noted(EMPTY, 3, begin(FIRST)), 3, begin(FIRST) + gap)
    record = watch(record, range(int(begin(FIRST) + gap), int(begin(FIRST + 2)) + 31, 30))
    assert (record.at(FIRST) == 3) == (gap == GAP_SECONDS)
    assert record.at(FIRST + 1) == 3


def test_a_gap_over_the_end_of_a_quarter_hour_leaves_both_unknown() -> None:
    record = watch(EMPTY, range(int(begin(FIRST)), int(begin(FIRST + 1)) - 130, 30))
    record = watch(record, range(int(begin(FIRST + 1)) + 130, int(begin(FIRST + 3)) + 31, 30))
    assert record.at(FIRST) is None
    assert record.at(FIRST + 1) is None
    assert record.at(FIRST + 2) == 3


def test_a_clock_that_was_put_back_records_nothing_twice() -> None:
    record = watch(EMPTY, quarters(3))
    back = noted(record, 9, begin(FIRST + 1) + 200)
    assert back.watched is not None
    assert not back.watched.whole
    assert recorded(record, FIRST + 1, 9) == record
    assert watch(back, quarters(3, skip=QUARTER_SECONDS), 9).at(FIRST + 1) == 3


def test_what_is_skipped_is_unknown_and_not_what_it_was_four_weeks_ago() -> None:
    record = recorded(recorded(EMPTY, FIRST, 5), FIRST + 1, 6)
    record = recorded(record, FIRST + KEPT + 5, 7)
    assert record.at(FIRST + KEPT + 1) is None
    assert record.at(FIRST + KEPT + 5) == 7
    assert known(record.most) == 1
    again = recorded(record, FIRST + 3 * KEPT, 2)
    assert known(again.most) == 1
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
    assert known(record.most) == len(fresh)
    assert len(record.most) == 2 * KEPT
    assert unpacked(packed(record.most)) == record.most


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
    assert (found.end, found.most) == (record.end, record.most)
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
    most = random.Random(seed).randbytes(2 * KEPT)
    status = status_of(scaling(Record(FIRST, most))).forecast
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
    status = ForecastStatus(record=packed(recorded(EMPTY, FIRST, 1).most))
    assert past_of(AutoscalingStatus(forecast=status)).record == EMPTY
