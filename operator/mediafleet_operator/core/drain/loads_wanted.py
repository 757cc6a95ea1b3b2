"""Which loads have to be read anew before a choice is made by them.

Pods that nothing is decided about are asked rarely. A scale-down decides about all of them at once,
often just after jobs have ended: by old readings a busy pod would leave where an idle one is.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Final

from mediafleet_common.api.names import DrainReason
from mediafleet_operator.core.fleet.actions import Action, Drain
from mediafleet_operator.core.fleet.model import Observation
from mediafleet_operator.core.fleet.roster import Roster

RECENT_SECONDS: Final = 2.0
"""A reading younger than this is good enough to choose by."""
WAIT_SECONDS: Final = 1.2
"""A choice waits so long for loads, a little more than a probe may take."""


def unread(roster: Roster, read: Container[str]) -> bool:
    """Whether the load of a serving pod has not been read yet; `read` has uids.

    A process that was just started knows no load: a scale-down at once would take a busy pod where
    an idle one is.
    """
    return any(pod.uid not in read for pod in roster.counted if pod.serving)


def loads_wanted(
    observation: Observation, roster: Roster, actions: Iterable[Action]
) -> frozenset[str]:
    """Uids of the pods whose load is read before planned actions are carried out; empty: go on.

    Without a choice (no pod leaves by a scale-down, or all do) no load is wanted.
    """
    victims = {
        action.pod.uid
        for action in actions
        if isinstance(action, Drain) and action.reason is DrainReason.SCALE_DOWN
    }
    serving = {pod.uid for pod in roster.counted if pod.serving}
    if not victims or serving <= victims:
        return frozenset()
    recent = observation.now - RECENT_SECONDS
    return frozenset(
        uid
        for uid in serving
        if not any(reading.began_at >= recent for reading in observation.loads.get(uid, ()))
    )
