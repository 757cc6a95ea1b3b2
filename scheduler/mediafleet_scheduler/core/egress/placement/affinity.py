"""What a stock egress pod bids, and which bid the client takes: upstream's auction. Pure.

The desk needs none of it. It is what a fleet with `engine: native` does, and what `mediafleet
simulate` and `mediafleet egress --explain` show beside our own order over pods.

    today            0.5 idle, 1.0 busy: the first busy pod wins, until it is full
    PR 1209          pack as today; spread by the free share of CPUs; type_aware mixes the two

Sources: livekit/egress pkg/server/server_rpc.go (StartEgressAffinity) and its pull request 1209;
core/psrpc/selection.py (the client).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from mediafleet_common.api.egress.placement import Mode
from mediafleet_scheduler.core.psrpc.selection import UPSTREAM_START_EGRESS, auction

CANNOT: Final = -1.0
"""An affinity below 0 is no bid: the pod keeps silent."""
IDLE: Final = 0.5
BUSY: Final = 1.0
JITTER: Final = 0.001
"""A bid of the patch is lowered by a random part of this, so that equal pods do not tie."""
PENDING_SECONDS: Final = 2.0
"""A pod forgets a bid that nobody took up after so long."""
LONGEST_WAIT_SECONDS: Final = UPSTREAM_START_EGRESS.affinity_timeout_seconds
"""livekit-server waits so long for any bid."""


@dataclass(frozen=True, slots=True)
class Bidder:
    """A pod at the moment it is asked. CPUs are as the pod itself counts them."""

    cores: float
    """CPUs it has."""
    available_cores: float
    """CPUs that the next job may take: all of them while it runs nothing."""
    idle: bool
    """Whether it runs nothing."""
    pending: int = 0
    """Bids it has made that were neither taken up nor forgotten."""
    disabled: bool = False
    """Whether it takes nothing, however much room it has."""

    def can_take(self, cores: float) -> bool:
        """Whether it would take a job that needs so many CPUs; pending bids do not count here."""
        return not self.disabled and self.available_cores >= cores


def free_fraction(pod: Bidder, track_cores: float) -> float:
    """The free part of a pod's CPUs, 0 to 1, less what its pending bids may take.

    A pending bid counts as one track, whatever was asked for.
    """
    available = pod.available_cores - pod.pending * track_cores
    return min(1.0, max(0.0, available / pod.cores))


def bid(
    pod: Bidder,
    needed_cores: float,
    needs_chrome: bool,
    mode: Mode,
    *,
    track_cores: float = 0.5,
    jitter: float = 0.0,
) -> float:
    """What a pod bids for a job; `CANNOT` when it will not take it.

    `jitter` is from 0 to 1, drawn anew for each bid. `pack` is what upstream does without the
    patch, to the bit.
    """
    if not pod.can_take(needed_cores):
        return CANNOT
    if mode is Mode.PACK:
        return IDLE if pod.idle else BUSY
    if mode is Mode.TYPE_AWARE and needs_chrome:
        score = BUSY if pod.idle else IDLE
    else:
        score = free_fraction(pod, track_cores)
    return max(0.0, score - jitter * JITTER)


def knows_mode(bids: Iterable[float], mode: Mode) -> bool | None:
    """Whether pods bid for a track as `affinity_mode` says; `None`: that is not to be told.

    The patch takes a random part off each bid. A bid of exactly 0.5 or 1.0 is of a build that does
    not know the setting. In `pack` both bid the same.
    """
    positive = [each for each in bids if each > 0]
    if mode is Mode.PACK or not positive:
        return None
    return not any(each in (IDLE, BUSY) for each in positive)


@dataclass(frozen=True, slots=True)
class PendingBids:
    """The bids of one pod that nobody has taken up yet: each is dropped exactly once, when the
    pod accepts a job or when it is 2 s old. Times are seconds of any one clock."""

    made_at: tuple[float, ...] = ()
    """In order."""

    def after(self, now: float) -> PendingBids:
        """What is left of them."""
        return PendingBids(tuple(at for at in self.made_at if now < at + PENDING_SECONDS))

    def made(self, now: float) -> PendingBids:
        """With one more."""
        return PendingBids((*self.after(now).made_at, now))

    def consumed(self, now: float) -> PendingBids:
        """A job was accepted: the oldest is dropped; without one, nothing is."""
        return PendingBids(self.after(now).made_at[1:])

    def count(self, now: float) -> int:
        """How many there are."""
        return sum(now < at + PENDING_SECONDS for at in self.made_at)


class Bid(NamedTuple):
    """A bid on its way to the client. A tuple, since each pod makes one for each job."""

    pod: str
    affinity: float
    arrives: float
    """Seconds after the request was sent."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Whom the client takes, and when."""

    pod: str
    after_seconds: float


def select(bids: Sequence[Bid]) -> Chosen | None:
    """Whom livekit-server takes; `None`: nobody, which it knows after `LONGEST_WAIT_SECONDS`."""
    state = auction(UPSTREAM_START_EGRESS)
    for each in sorted(bids, key=lambda each: (each.arrives, each.pod)):
        if state.over or each.arrives > state.closes or each.arrives >= LONGEST_WAIT_SECONDS:
            break
        if each.affinity >= 0:
            state = state.bid(each.pod, each.affinity, each.arrives)
    return None if state.best is None else Chosen(state.best, state.closes)
