"""How readily the count follows what is wanted: stabilisation, and so many a minute.

As an HPA does it (kubernetes pkg/controller/podautoscaler/horizontal.go): on the way up the least
that was wanted within the window, on the way down the most.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mediafleet_operator.core.autoscaling.model import Change, Past, Policy

MINUTE: Final = 60.0
MAX_ADVICE: Final = 512
"""Pieces of advice that are kept; older ones are then merged into the higher of two."""
MERGE_SECONDS: Final = 5.0
"""Changes within each such part of a minute are kept as one."""
Advice = tuple[tuple[float, int], ...]


def looked(past: Past, replicas: int, now: float) -> Past:
    """The past with the change that happened since the last look, if any did."""
    # The one before us may have had a clock that is ahead of ours.
    changes = [each for each in past.changes if now - MINUTE < each.at < now + MINUTE]
    if past.replicas is None or past.replicas == replicas:
        return replace(past, replicas=replicas, changes=tuple(changes))
    by = replicas - past.replicas
    change = Change(now, max(by, 0), max(-by, 0))
    if changes and now // MERGE_SECONDS == changes[-1].at // MERGE_SECONDS:
        # It counts from the later time on: a limit is kept too long rather than too short.
        last = changes.pop()
        change = Change(now, last.added + change.added, last.removed + change.removed)
    return replace(past, replicas=replicas, changes=(*changes, change), last_change=now)


def advised(advice: Advice, wanted: int, now: float, keep_seconds: float) -> Advice:
    """The advice with what is wanted now; what no window reaches any more is left out."""
    if not advice or advice[-1][1] != wanted:
        advice = (*advice, (now, wanted))
    ended = [until for until, _ in advice[1:]]
    fresh = sum(1 for until in ended if until <= now - keep_seconds)
    advice = advice[fresh:]
    if len(advice) > MAX_ADVICE:
        (first, one), (_, other), *rest = advice
        advice = ((first, max(one, other)), *rest)
    return advice


def within(advice: Advice, window_seconds: float, now: float) -> list[int]:
    """What was wanted at any time in the window; what is wanted now is part of it."""
    ends = [at for at, _ in advice[1:]] + [now + 1.0]
    return [
        wanted for (_, wanted), end in zip(advice, ends, strict=True) if end > now - window_seconds
    ]


def stabilised(policy: Policy, replicas: int, advice: Advice, now: float) -> int:
    """The count after stabilisation."""
    least = min(within(advice, policy.up.window_seconds, now))
    most = max(within(advice, policy.down.window_seconds, now))
    return max(least, min(replicas, most))


def limited(policy: Policy, replicas: int, target: int, changes: tuple[Change, ...]) -> int:
    """The target as far as the limits per minute let it be reached now."""
    if target > replicas and policy.up.per_minute is not None:
        left = policy.up.per_minute - sum(each.added for each in changes)
        return min(target, replicas + max(left, 0))
    if target < replicas and policy.down.per_minute is not None:
        left = policy.down.per_minute - sum(each.removed for each in changes)
        return max(target, replicas - max(left, 0))
    return target
