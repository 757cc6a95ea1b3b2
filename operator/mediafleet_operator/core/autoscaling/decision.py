"""The built-in policy: a situation in, a verdict out.

Unknown demand holds the count where it is, and holding is itself a piece of advice: nothing is
taken away before it was known for a whole stabilisation window that it is not needed. Only the
minimum is kept up even then, since it does not depend on demand.
"""

from __future__ import annotations

from dataclasses import replace

from mediafleet_common.api.names import Reason
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_operator.core.autoscaling import pace, record
from mediafleet_operator.core.autoscaling.cron import BadScheduleError
from mediafleet_operator.core.autoscaling.forecast import Forecast, forecast
from mediafleet_operator.core.autoscaling.model import Past, Situation, Verdict
from mediafleet_operator.core.autoscaling.need import Need, idle, need
from mediafleet_operator.core.autoscaling.schedule import Bounds, bounds


def decide(situation: Situation) -> Verdict:
    """How many pods there shall be, and why."""
    past = _looked(situation)
    if situation.paused:
        why = "spec.paused is true, so the number of pods is left as it is."
        return _held(situation, past, Reason.PAUSED, why, situation.replicas)
    try:
        limits = bounds(situation.policy, situation.now)
    except BadScheduleError as error:
        why = f"{error}. The number of pods is left as it is."
        return _held(situation, past, Reason.SCHEDULE_INVALID, why, situation.replicas)
    demand = situation.demand
    floor = max(situation.replicas, limits.min)
    if demand is None or not demand.known:
        said = situation.silence if demand is None else demand.reason or "the desk does not know it"
        reason = situation.silence_reason if demand is None else Reason.DEMAND_UNKNOWN
        why = f"Demand is unknown ({said}), so no pod is taken away."
        return _held(situation, past, reason, why, floor)
    needed = need(situation.policy, demand) or _wake(situation, demand)
    if needed is None:
        kind = situation.policy.type or "accepted type"
        why = (
            f"An empty pod takes no job of {kind}, as far as is known, so no pod is taken away. "
            "Set the size of a pod (of a pool, spec.sessions.max), or spec.autoscaling.buffer.type "
            "to what fits on one."
        )
        return _held(situation, past, Reason.DEMAND_UNKNOWN, why, floor)
    return _follow(situation, past, limits, demand, needed)


def _looked(situation: Situation) -> Past:
    """The past with what has happened since the last look."""
    past = pace.looked(situation.past, situation.replicas, situation.now)
    return replace(past, advice=past.advice or ((situation.now, situation.replicas),))


def _wake(situation: Situation, demand: FleetDemand) -> Need | None:
    """One pod for what waits, where it takes a pod to know how much one takes."""
    if situation.replicas == 0 and any(demand.queued.values()):
        return Need(1, f"{sum(demand.queued.values())} waiting, and no pod to measure", 1)
    return None


def _held(situation: Situation, past: Past, reason: Reason, why: str, replicas: int) -> Verdict:
    """No demand to follow: nothing is taken away, and no proof of idleness goes on."""
    advice = pace.advised(past.advice, replicas, situation.now, _kept_seconds(situation))
    past = replace(past, advice=advice, idle_since=None)
    # A count of 0 cannot wake without demand, so it is asked for as if something were going on.
    return Verdict(replicas, None, False, reason, why, past, busy=True)


def _follow(
    situation: Situation, past: Past, limits: Bounds, demand: FleetDemand, needed: Need
) -> Verdict:
    policy, now = situation.policy, situation.now
    since = (past.idle_since if past.idle_since is not None else now) if idle(demand) else None
    # A buffer keeps no fleet awake, so an idle one needs nothing.
    close = 0 if idle(demand) else needed.packed
    past = replace(past, idle_since=since, record=_record(situation, close))
    wanted, asleep, why = _wanted(situation, past, limits, needed)
    ahead = _ahead(situation, past)
    if ahead.pods is not None and policy.ahead is not None and policy.ahead.apply:
        raised = limits.clamp(ahead.pods)
        if raised > wanted:
            wanted, asleep = raised, False
            why = f"{why}; raised to {raised} by spec.autoscaling.forecast, {ahead.why}"
    advice = pace.advised(past.advice, wanted, now, _kept_seconds(situation))
    if asleep or situation.replicas == 0:
        # The cool-down has stood in for stabilisation, and who sleeps has nothing that flaps.
        advice = ((now, wanted),)
    calm = pace.stabilised(policy, situation.replicas, advice, now)
    paced = pace.limited(policy, situation.replicas, calm, past.changes)
    replicas = limits.clamp(paced)
    if replicas != wanted:
        why = f"{why}; held at {replicas} by spec.autoscaling.behavior"
    settled = replicas == wanted == situation.replicas and demand.ready >= replicas
    busy = not settled or any(demand.queued.values()) or replicas == 0
    past = replace(past, advice=advice)
    return Verdict(replicas, wanted, True, Reason.AUTOSCALING, f"{why}.", past, busy, ahead.pods)


def _record(situation: Situation, pods: int) -> record.Record:
    """What rushes needed in the last weeks, this look included; nothing where nobody asks."""
    if situation.policy.ahead is None:
        return record.EMPTY
    return record.noted(situation.past.record, pods, situation.now)


def _ahead(situation: Situation, past: Past) -> Forecast:
    ahead = situation.policy.ahead
    if ahead is None:
        return Forecast(None, "nobody asks")
    return forecast(past.record, situation.now, ahead.lead_seconds)


def _wanted(
    situation: Situation, past: Past, limits: Bounds, needed: Need
) -> tuple[int, bool, str]:
    """What is wanted within the bounds, whether that is to sleep, and why."""
    policy = situation.policy
    if limits.min == 0 and past.idle_since is not None:
        idle_for = situation.now - past.idle_since
        if situation.replicas == 0 or idle_for >= policy.cool_down_seconds:
            return 0, True, "Nothing runs or waits, and spec.autoscaling.coolDown is over"
    # Zero is for the cool-down to say, not for a buffer of none.
    least = max(needed.pods, 1)
    wanted = limits.clamp(least)
    if wanted > least:
        bound = "an open window of spec.autoscaling.schedule" if limits.scheduled else "min"
        return wanted, False, f"{needed.why}; raised to {wanted} by {bound}"
    if wanted < least:
        return wanted, False, f"{needed.why}; {least} would be needed, max is {wanted}"
    return wanted, False, needed.why


def _kept_seconds(situation: Situation) -> float:
    policy = situation.policy
    return max(policy.up.window_seconds, policy.down.window_seconds)
