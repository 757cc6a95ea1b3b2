"""What is remembered of one plan for the next: what the API server would not have."""

from __future__ import annotations

from mediafleet_common.api.names import Reason
from mediafleet_operator.core.ailments import TAKEN_SECONDS
from mediafleet_operator.core.model import Memory, Refusal


def created(memory: Memory) -> Memory:
    """A pod was made: the API server has nothing against them."""
    return Memory(None, memory.taken)


def refused(memory: Memory, reason: Reason, message: str, now: float) -> Memory:
    """A pod was refused."""
    attempts = memory.refusal.attempts + 1 if memory.refusal else 1
    return Memory(Refusal(reason, message, attempts, now), memory.taken)


def slot_taken(memory: Memory, slot: int, now: float) -> Memory:
    """A pod that is not ours has the name of a slot."""
    still = {each: until for each, until in memory.taken.items() if until > now}
    return Memory(memory.refusal, {**still, slot: now + TAKEN_SECONDS})


def template_changed(memory: Memory) -> Memory:
    """Another template may be welcome."""
    return Memory(None, memory.taken)
