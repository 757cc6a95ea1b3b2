"""How long tasks wait on workers of uneven speed, beside a first-fit manager."""

from __future__ import annotations

import pytest
from bench.broker_choice import Broker, FirstFit, run


@pytest.mark.parametrize("capacity", [1, 4])
def test_tasks_wait_and_take_at_most_half_as_long_as_with_the_first_worker_that_has_room(
    capacity: int,
) -> None:
    ours = run(Broker(capacity), 0.6, shares=False, retries=False).p95()
    theirs = run(FirstFit(capacity), 0.6, shares=False, retries=True).p95()
    assert theirs > (0.9, 3.9)
    for our, their in zip(ours, theirs, strict=True):
        assert our <= their / 2
