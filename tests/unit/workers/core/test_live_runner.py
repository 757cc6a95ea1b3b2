"""Heartbeats of a live runner, and what follows from their answers."""

from __future__ import annotations

import pytest

from mediafleet_scheduler.core.workers.orchestrators.live_runner import (
    Refusal,
    Registration,
    Runner,
    Unit,
    answered,
    heartbeat,
)

SD = Runner("text-to-image/sd", "https://b/live/k/text-to-image/sd", 0.5, Unit.FIXED)
KNOWN = Registration("runner_a", "s1", 5.0)


def test_a_heartbeat_has_the_fields_of_upstreams_request() -> None:
    assert heartbeat(SD, 3, None) == {
        "app": "text-to-image/sd",
        "runner_url": "https://b/live/k/text-to-image/sd",
        "mode": "single-shot",
        "status": "ready",
        "capacity": 3,
        "price_info": {"price": 0.5, "currency": "usd", "unit": "fixed"},
    }
    assert heartbeat(SD, 3, KNOWN)["runner_id"] == "runner_a"


def test_a_runner_without_workers_stays_and_is_not_ready_since_its_sessions_end_with_it() -> None:
    sent = heartbeat(SD, 0, KNOWN)
    # Upstream takes a capacity of 0 for 1.
    assert (sent["status"], sent["capacity"]) == ("no-workers", 1)
    assert heartbeat(SD, 1, KNOWN)["status"] == "ready"


def test_the_first_answer_brings_name_secret_and_interval() -> None:
    body = {"runner_id": "runner_b", "heartbeat_secret": "s2", "heartbeat_interval": "1m5s"}
    assert answered(None, 200, body, 5.0) == Registration("runner_b", "s2", 65.0)


@pytest.mark.parametrize("interval", [None, "", "soon", "0s"])
def test_an_answer_without_a_time_leaves_it_to_us(interval: str | None) -> None:
    body = {"runner_id": "runner_b", "heartbeat_secret": "s2", "heartbeat_interval": interval}
    assert answered(None, 200, body, 7.0) == Registration("runner_b", "s2", 7.0)


def test_later_answers_name_no_secret_and_the_first_one_counts_on() -> None:
    body = {"runner_id": "runner_a", "heartbeat_interval": "3s"}
    assert answered(KNOWN, 200, body, 5.0) == Registration("runner_a", "s1", 3.0)
    assert answered(KNOWN, 200, {**body, "heartbeat_secret": "s9"}, 5.0) == Registration(
        "runner_a", "s9", 3.0
    )


@pytest.mark.parametrize("status", [401, 404])
def test_a_runner_that_is_not_known_any_more_registers_again(status: int) -> None:
    assert answered(KNOWN, status, {}, 5.0) is Refusal.UNKNOWN
    assert answered(None, status, {}, 5.0) is Refusal.REFUSED


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {}),
        (500, {"runner_id": "a", "heartbeat_secret": "s"}),
        (200, {"runner_id": "a"}),
        (200, {"heartbeat_secret": "s"}),
        (200, {"runner_id": "a", "heartbeat_secret": 7}),
    ],
)
def test_an_answer_without_name_or_secret_is_none(status: int, body: dict[str, object]) -> None:
    assert answered(None, status, body, 5.0) is Refusal.REFUSED
