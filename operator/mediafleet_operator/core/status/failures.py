"""What is remembered of one plan for the next: what the API server would not have."""

from __future__ import annotations

from dataclasses import replace

from mediafleet_common.api.names import Reason
from mediafleet_operator.core.fleet.ailments import TAKEN_SECONDS
from mediafleet_operator.core.fleet.model import Memory, Refusal, Unmade


def created(memory: Memory) -> Memory:
    """A pod was made: the API server has nothing against them."""
    return replace(memory, refusal=None)


def refused(memory: Memory, reason: Reason, message: str, now: float) -> Memory:
    """A pod was refused."""
    attempts = memory.refusal.attempts + 1 if memory.refusal else 1
    return replace(memory, refusal=Refusal(reason, message, attempts, now))


def slot_taken(memory: Memory, slot: int, now: float) -> Memory:
    """A pod that is not ours has the name of a slot."""
    still = {each: until for each, until in memory.taken.items() if until > now}
    return replace(memory, taken={**still, slot: now + TAKEN_SECONDS})


def unmade(memory: Memory, why: Unmade | None) -> Memory:
    """Something beside the pods was refused, or (`None`) all is there."""
    return replace(memory, unmade=why)


def template_changed(memory: Memory) -> Memory:
    """Another template may be welcome."""
    return replace(memory, refusal=None)
