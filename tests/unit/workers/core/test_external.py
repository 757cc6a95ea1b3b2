"""What an orchestrator is told of an external capability, and when."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_scheduler.core.workers.orchestrators.external import (
    Capability,
    Next,
    Registered,
    next_call,
    registration,
)

SD = Capability("text-to-image/sd", "http://b:8080/byoc/k/text-to-image/sd", 7, 2, "wei", "t0k")
AGAIN = 30.0


def step(capacity: int, known: Registered | None, now: float = 5.0) -> Next:
    return next_call(SD, capacity, known, now, AGAIN)


def test_a_model_is_registered_when_a_worker_has_it_and_taken_back_with_its_last_one() -> None:
    assert step(0, None) is Next.NOTHING
    assert step(2, None) is Next.REGISTER
    assert step(2, Registered(SD, 2, 0.0)) is Next.NOTHING
    assert step(0, Registered(SD, 2, 0.0)) is Next.UNREGISTER


@pytest.mark.parametrize(
    "known",
    [
        Registered(SD, 1, 4.0),
        Registered(replace(SD, price_per_unit=8), 2, 4.0),
        Registered(replace(SD, token=None), 2, 4.0),
    ],
)
def test_a_change_of_capacity_price_or_token_is_told_at_once(known: Registered) -> None:
    assert step(2, known) is Next.REGISTER


def test_it_is_told_again_after_a_while_since_an_orchestrator_forgets_without_a_word() -> None:
    assert step(2, Registered(SD, 2, 0.0), now=29.9) is Next.NOTHING
    assert step(2, Registered(SD, 2, 0.0), now=30.0) is Next.REGISTER
    assert step(2, Registered(SD, 2, 20.0), now=49.9) is Next.NOTHING
    assert step(2, Registered(SD, 2, 20.0), now=50.0) is Next.REGISTER


def test_one_job_at_a_time_is_a_capacity() -> None:
    assert step(1, None) is Next.REGISTER


def test_a_registration_has_the_fields_of_upstreams_external_capability() -> None:
    assert registration(SD, 3, 0) == {
        "name": "text-to-image/sd",
        "description": "served by remote workers of a mediafleet broker",
        "url": "http://b:8080/byoc/k/text-to-image/sd",
        "capacity": 3,
        "price_per_unit": 7,
        "price_scaling": 2,
        "currency": "wei",
        "token": "t0k",
    }
    assert "token" not in registration(replace(SD, token=None), 3, 0)


@given(
    capacity=st.integers(1, 20),
    changes=st.lists(st.sampled_from(["job", "answer", "register"]), max_size=40),
)
def test_what_an_orchestrator_counts_as_free_stays_right_however_often_it_is_told(
    capacity: int, changes: list[str]
) -> None:
    # As upstream counts: a registration sets its load to 0, each answer takes one off.
    under_way, told, load = 0, registration(SD, capacity, 0), 0
    for change in changes:
        if change == "job":
            under_way, load = under_way + 1, load + 1
        elif change == "answer" and under_way:
            under_way, load = under_way - 1, load - 1
        elif change == "register":
            told, load = registration(SD, capacity, under_way), 0
        assert int(str(told["capacity"])) - load == capacity - under_way
