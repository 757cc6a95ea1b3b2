"""How long a bus over Redis waits, in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BusTimes:
    """Times of the two connections on which StartEgress, bids and answers travel."""

    connect_seconds: float = 5.0
    """A connection that does not stand after so long has failed."""
    max_pause_seconds: float = 1.0
    """A lost connection is opened again after pauses that grow from 0.05 s up to this."""
    subscribe_seconds: float = 30.0
    """A channel that Redis has not confirmed after so long has failed, and the desk tries that
    Redis again from the beginning."""
    ping_after_seconds: float = 5.0
    """The listening connection is sent a PING when nothing has come for so long."""
    silence_seconds: float = 15.0
    """When nothing has come for so long, the PING's answer included, that connection counts as
    lost. Keep it above `ping_after_seconds`."""
    answer_seconds: float = 5.0
    """The publishing connection counts as lost when Redis has not replied for so long."""
    keep_seconds: float = 2.0
    """A message that cannot be sent while Redis is away is kept for so long, then dropped: its
    reader has given up."""
