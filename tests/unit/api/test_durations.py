"""Durations as people write them."""

import pytest
from pydantic import TypeAdapter, ValidationError

from mediafleet_common.api.durations import Duration, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500ms", 0.5), ("30s", 30), ("7m", 420), ("1h30m", 5400), ("1.5h", 5400), ("0s", 0)],
)
def test_a_duration_is_the_sum_of_its_parts(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "5", "5 s", "s", "-5s", "5d", "1h junk", "100000h"])
def test_what_is_not_a_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write for example"):
        seconds(text)


def test_a_duration_has_32_characters_at_most() -> None:
    assert seconds("1s" * 16) == 16
    with pytest.raises(ValueError, match=r"^'0{32}' is not a duration"):
        seconds("0" * 32 + "s")


@pytest.mark.parametrize("text", ["99999h", "9999999m", "999999999s"])
def test_the_longest_durations_fit_what_kubernetes_counts(text: str) -> None:
    most = seconds(text * (32 // len(text)))
    assert most * 1e9 < 2**63


def test_a_field_takes_texts_alone() -> None:
    field = TypeAdapter(Duration)
    assert field.validate_python("30s") == "30s"
    for value in ("30", 30, None):
        with pytest.raises(ValidationError):
            field.validate_python(value)
