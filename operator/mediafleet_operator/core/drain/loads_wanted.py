"""Whose load is asked anew before a choice is made by it.

Pods that nothing is decided about are asked rarely. A scale-down decides about all of them at once,
often just after jobs have ended: by old readings a busy pod would leave where an idle one is.
"""

from __future__ import annotations

from typing import Final

from mediafleet_common.api.names import DrainReason
from mediafleet_operator.core.fleet.actions import Drain
from mediafleet_operator.core.fleet.model import Observation
from mediafleet_operator.core.fleet.plan import Plan

RECENT_SECONDS: Final = 2.0
"""A reading younger than this is good enough to choose by."""


def to_ask_first(observation: Observation, planned: Plan) -> frozenset[str]:
    """Uids of the pods to ask before the plan is carried out; empty: go on.

    Without a choice (nobody leaves by a scale-down, or all do) nobody has to be asked.
    """
    victims = {
        action.pod.uid
        for action in planned.actions
        if isinstance(action, Drain) and action.reason is DrainReason.SCALE_DOWN
    }
    serving = {pod.uid for pod in planned.roster.counted if pod.serving}
    if not victims or serving <= victims:
        return frozenset()
    recent = observation.now - RECENT_SECONDS
    return frozenset(
        uid
        for uid in serving
        if not any(reading.began_at >= recent for reading in observation.loads.get(uid, ()))
    )
