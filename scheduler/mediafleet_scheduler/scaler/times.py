"""How often the demand of a desk is read, in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DemandTimes:
    """KEDA's streams, `/demand` and metrics show the newest reading."""

    look_seconds: float = 0.1
    """Between two readings; a change is published within two of them."""
    max_look_seconds: float = 0.2
    """Where reading takes more than a twentieth of the time, the pauses grow up to this."""
    wait_seconds: float = 3.0
    """So long KEDA waits for the demand of a fleet that is not known yet, before it is an error."""
