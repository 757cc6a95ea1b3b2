"""What strangers may cost a port that anybody can reach."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PortLimits:
    """Bounds of the public gRPC port; times in seconds, sizes in bytes."""

    connections: int = 1000
    """At a time. One more takes the place of the one that has been silent for longest; those that
    never made a call go first."""
    handshake_seconds: float = 5.0
    """From the connection to the end of its TLS handshake."""
    first_call_seconds: float = 10.0
    """From there to its first call."""
    idle_seconds: float = 300.0
    """A connection without a call for so long is ended."""
    age_seconds: float = 600.0
    """After so long a connection takes no more calls, so that clients spread over all replicas."""
    call_seconds: float = 70.0
    """For a call as a whole: a request that does not end, or an answer that nobody takes."""
    streams: int = 100
    """Calls at a time on one connection."""
    header_bytes: int = 16 * 1024
    """Of one request, as sent and as they are once decoded."""
    message_bytes: int = 64 * 1024
    """Of one request's message."""
    unread_bytes: int = 16 * 1024 * 1024
    """Of requests that are not complete, on all connections together."""
    unsent_bytes: int = 1024 * 1024
    """That wait for one peer to read them, what answers its own frames included."""
    spare_frames: int = 1000
    """Frames of a connection beside calls (pings, settings, continuations; a reset is as much as
    twenty); each answered call earns eight."""
