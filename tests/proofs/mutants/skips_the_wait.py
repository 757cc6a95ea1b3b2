"""A mutant of the engine: every draining pod passes for idle. Loaded into the operator by a test.

If this one passes the tests, the tests prove nothing.
"""

from __future__ import annotations

from mediafleet_operator.core.drain import leaving
from mediafleet_operator.core.fleet.model import Observation, PodView


def proved_idle(pod: PodView, observation: Observation) -> bool:
    """Nobody looks."""
    del pod, observation
    return True


leaving.proved_idle = proved_idle
