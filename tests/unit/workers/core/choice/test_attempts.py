"""Attempts of a task, as Redis holds them for the broker that takes it over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_scheduler.core.workers.choice.attempts import MOST, Given, given_of, given_text

ATTEMPTS = st.builds(Given, st.integers(1, 2**63 - 1), st.none() | st.text(max_size=20))


@given(st.lists(ATTEMPTS, max_size=MOST))
def test_attempts_are_read_as_they_were_written(attempts: list[Given]) -> None:
    assert given_of(given_text(attempts)) == tuple(attempts)


def test_the_latest_attempts_count() -> None:
    attempts = [Given(number + 1) for number in range(MOST + 5)]
    assert given_of(given_text(attempts)) == tuple(attempts[5:])
    assert len(given_of("[" + ",".join(["[1,null]"] * 99) + "]")) == MOST


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no",
        "5",
        "{}",
        "[[1]]",
        "[1]",
        "[[0,null]]",
        "[[-1,null]]",
        "[[true,null]]",
        "[[9223372036854775808,null]]",
        "[[1.5,null]]",
        "[[1,5]]",
        f'[[1,"{"x" * 257}"]]',
    ],
)
def test_what_is_no_attempt_is_left_out(text: str) -> None:
    assert given_of(text) == ()
