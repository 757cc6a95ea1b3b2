"""What a soak makes of its readings: of 20 min, one a second."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest
from tests.kit.counted import Counts
from tests.kit.soak import Growth, hold
from tests.kit.trend import Trend, stepped, straight


def readings(megabytes: Callable[[float], float]) -> list[tuple[float, float]]:
    chance = random.Random(1)
    return [
        (float(at), 100 + megabytes(at / 3600) + chance.uniform(0, 0.1)) for at in range(300, 1500)
    ]


Way = Callable[[list[tuple[float, float]]], Trend]
both = pytest.mark.parametrize("way", [stepped, straight])


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4, 0.5, 0.6, 0.9])
def test_a_step_that_comes_once_is_no_growth_an_hour(share: float) -> None:
    at = (300 + share * 1200) / 3600
    found = stepped(readings(lambda hours: float(hours > at)))
    assert abs(found.slope) < 0.2
    assert found.low <= 0.0 < found.high


@both
@pytest.mark.parametrize("slope", [-2.0, 0.5, 1.2, 6.0])
def test_growth_without_an_end_is_found_and_is_within_its_interval(way: Way, slope: float) -> None:
    found = way(readings(lambda hours: slope * hours))
    assert found.slope == pytest.approx(slope, abs=0.1)
    assert found.low <= slope <= found.high


def test_growth_in_steps_that_go_on_is_found() -> None:
    found = stepped(readings(lambda hours: 0.25 * (hours // (1 / 24))))
    assert found.slope == pytest.approx(6.0, abs=1.0)


@both
def test_peaks_are_no_growth(way: Way) -> None:
    found = way(readings(lambda hours: 5.0 * (int(hours * 3600) % 10 < 5) * hours))
    assert abs(found.slope) < 0.1


@both
def test_a_few_readings_say_nothing(way: Way) -> None:
    for some in ([], [(1.0, 100.0)], [(1.0, 100.0), (2.0, 101.0)]):
        assert (way(some).low, way(some).high) == (float("-inf"), float("inf"))


def process(name: str, sizes: Iterable[float]) -> Growth:
    made = Growth(name, 1)
    for at, megabytes in enumerate(sizes):
        made.samples.append((float(at), megabytes, 3))
        made.counts.append((float(at), Counts(tasks=5, blocks=1000, malloc_mb=megabytes)))
    return made


def test_all_processes_are_measured_before_one_that_grows_fails() -> None:
    shown: list[str] = []
    with pytest.raises(AssertionError) as raised:
        hold(
            [process("first", (1, 41)), process("second", (1, 2)), process("third", (1, 32))],
            shown.append,
        )
    assert "first: +40.0 MB" in str(raised.value)
    assert "third: +31.0 MB" in str(raised.value)
    assert [each.split(",")[0] for each in shown] == ["soak: first", "soak: second", "soak: third"]


def test_a_leak_between_the_steps_of_resident_memory_is_seen_in_what_is_in_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.kit.soak.SECONDS", 1800.0)
    made = process("broker", [100.0] * 1200)
    made.counts = [(float(at), Counts(5, 1000, 20 + 2 * at / 3600)) for at in range(1200)]
    assert made.faults() == ["broker: in use +2.00 MB/h (+2.00 to +2.00)"]
    del made.counts[:]
    assert made.faults() == []
