"""One round of a gateway's discovery: whom it asks, whom it finds, and why not the others.

The rules are go-livepeer's (discovery/discovery.go, GetOrchestrators; discovery/discovery_test.go
for the cases): every top-level orchestrator is asked at once; of a list only the first
`extra_nodes` entries count, by position; an entry seen before, as a string, or not parseable leaves
its place unused; nodes of nodes are not asked; and the round ends with as many good answers as are
wanted, as many answers as there are places, or a time-out.

`Round` asks nobody and has no clock: it is told what was answered and what time it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from mediafleet_scheduler.core.advertise.capabilities import Capabilities, Wanted
from mediafleet_scheduler.core.advertise.gateway_url import NotAUrlError, gateway_target

CUT_OFF_SECONDS: Final = 6.0
DIAL_SECONDS: Final = 3.0
"""A gateway dials again and again for so long, also where the connection is refused at once, and
only then is that an answer (server/rpc.go, GRPCConnectTimeout)."""
_OFFERED: Final = 1000
"""Entries of one list that are told of; a list may be as long as whoever wrote it liked."""


class Why(StrEnum):
    """Why an entry is not among what the gateway would use."""

    ADVERTISES_ONLY = "advertises_only"
    """Its transcoder is empty: it takes no work; its nodes are asked all the same."""
    BEYOND_EXTRA_NODES = "beyond_extra_nodes"
    """It stands further down the list than the gateway looks."""
    SEEN = "seen"
    """The same string was there before; its place stays unused."""
    BAD_URL = "bad_url"
    """The gateway cannot parse it; its place stays unused."""
    TOO_DEEP = "too_deep"
    """A node listed it, and gateways look at the nodes of top-level entries only."""
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    """It answered with an error of its own, such as being full."""
    UNREADABLE = "unreadable"
    """It answered something that is no OrchestratorInfo."""
    INCOMPATIBLE = "incompatible"
    """It has not the capabilities that are wanted."""
    NOT_SELECTED = "not_selected"
    """Discovery takes it, in place of another, and selection drops it: it claims an AI pipeline and
    names no model of it."""
    BLOCKED = "blocked"
    """Its ETH address is on the gateway's -orchBlocklist."""
    SUSPENDED = "suspended"
    """The gateway has suspended it and found enough others."""
    NOT_WAITED_FOR = "not_waited_for"
    """It had not answered when the round ended."""


class Ended(StrEnum):
    """How a round ended."""

    ENOUGH = "enough"
    """As many were found as were wanted."""
    ALL_ANSWERED = "all_answered"
    """There were as many answers as there are places."""
    TIMED_OUT = "timed_out"
    """A time-out passed with something found: whoever lists less than extra_nodes waits for it."""
    CUT_OFF = "cut_off"
    """Nothing was found in six seconds."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a gateway is set to and what it looks for."""

    extra_nodes: int = 0
    """Its -extraNodes."""
    count: int | None = 100
    """How many orchestrators it looks for; `None`: as many as it has top-level entries, which is
    what a gateway does (seen on 0.9.1: behind one entry it keeps the first node that answers)."""
    timeout_seconds: float = 0.5
    """Its -discoveryTimeout."""
    capabilities: tuple[Wanted, ...] = ()
    suspended: Mapping[str, int] = field(default_factory=dict)
    """Transcoders that it has suspended, each with its penalty: the least is tried first."""
    blocked: frozenset[str] = frozenset()
    """ETH addresses on its -orchBlocklist, in lower case, without 0x."""


@dataclass(frozen=True, slots=True)
class Visit:
    """An entry that is asked, or would be."""

    url: str
    via: str | None = None
    """Who listed it; `None`: it is a top-level entry."""
    position: int | None = None
    """In that list, from 0."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What an orchestrator said of itself."""

    transcoder: str
    nodes: tuple[str, ...] = ()
    capabilities: Capabilities | None = None
    eth_address: str = ""
    price_per_unit: int | None = None
    """Wei for `pixels_per_unit` pixels; `None`: it told no price."""
    pixels_per_unit: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """It could not be asked, or would not answer."""

    why: Why
    detail: str
    """For people; it may hold text from the other side."""


@dataclass(frozen=True, slots=True)
class Found:
    """An orchestrator that the gateway would use."""

    visit: Visit
    offer: Offer
    latency_seconds: float
    penalty: int = 0
    """Above 0: the gateway has suspended it."""

    @property
    def suspended(self) -> bool:
        """Whether the gateway has."""
        return self.penalty > 0


@dataclass(frozen=True, slots=True)
class Missed:
    """An entry that it would not use."""

    visit: Visit
    why: Why
    detail: str = ""
    latency_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a round."""

    found: tuple[Found, ...]
    """Quickest first, then the suspended, the least penalty first."""
    left_out: tuple[Missed, ...]
    ended: Ended
    answers: int
    places: int
    """As many answers would have ended the round."""


class Round:
    """One round; to be told of answers until it has `ended`."""

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self.ended: Ended | None = None
        self._places = self._wanted = self._answers = 0
        self._good: list[Found] = []
        self._suspended: list[Found] = []
        self._missed: list[Missed] = []
        self._dropped = 0
        """Taken by discovery, and dropped by selection."""
        self._dialled: list[float] = []
        """When a gateway gives up those that cannot be reached."""
        self._pending: list[Visit] = []
        self._seen: set[str] = set()
        self._pause = wishes.timeout_seconds
        self._timer = self._cut_off = 0.0

    @property
    def wake_at(self) -> float:
        """When to call `wake`, on the clock that `begin` was given."""
        return min(self._timer, self._cut_off, *self._dialled)

    def begin(self, top: Sequence[str], now: float) -> list[Visit]:
        """Start with these top-level orchestrators; whom to ask."""
        self._places = len(top) * (self._wishes.extra_nodes + 1)
        count = self._wishes.count
        self._wanted = min(self._places, len(top) if count is None else count)
        self._timer = now + self._pause
        self._cut_off = now + CUT_OFF_SECONDS
        visits = [Visit(url) for url in top]
        self._seen.update(top)
        self._pending = list(visits)
        self._is_enough()
        return visits if self.ended is None else []

    def hear(
        self, visit: Visit, reply: Offer | Failure, latency_seconds: float, now: float
    ) -> list[Visit]:
        """Take the answer of somebody who was asked; whom to ask next."""
        if self.ended is not None:
            return []
        self._pending.remove(visit)
        more: list[Visit] = []
        if isinstance(reply, Failure):
            self._missed.append(Missed(visit, reply.why, reply.detail, latency_seconds))
            if reply.why is Why.UNREACHABLE and latency_seconds < DIAL_SECONDS:
                self._dialled.append(now + DIAL_SECONDS - latency_seconds)
                return []
            self._answers += 1
        else:
            self._answers += 1
            more = self._nodes_of(visit, reply)
            self._judge(Found(visit, reply, latency_seconds))
        self._pending += more
        self._is_enough()
        return more if self.ended is None else []

    def wake(self, now: float) -> None:
        """A moment has come: the round ends, or waits twice as long once more."""
        if self.ended is not None:
            return
        waiting = [at for at in self._dialled if at > now]
        self._answers += len(self._dialled) - len(waiting)
        self._dialled = waiting
        if self._is_enough():
            return
        if now >= self._cut_off:
            self.ended = Ended.CUT_OFF
        elif now >= self._timer and (self._good or self._dropped):
            self.ended = Ended.TIMED_OUT
        elif now >= self._timer:
            # The first time-out is waited for twice, then it doubles.
            self._timer = now + self._pause
            self._pause = min(2 * self._pause, CUT_OFF_SECONDS)

    def report(self) -> Report:
        """What came of it; only once it has ended."""
        if self.ended is None:
            raise RuntimeError("the round goes on")
        good = _by_latency(self._good)
        suspended = sorted(self._suspended, key=lambda each: each.penalty)
        needed = max(0, self._wanted - len(good) - self._dropped)
        missed = [
            *self._missed,
            *(
                Missed(each.visit, Why.SUSPENDED, "", each.latency_seconds)
                for each in suspended[needed:]
            ),
            *(Missed(visit, Why.NOT_WAITED_FOR) for visit in self._pending),
        ]
        return Report(
            (*good, *suspended[:needed]), tuple(missed), self.ended, self._answers, self._places
        )

    def _is_enough(self) -> bool:
        """End the round if there are as many good answers, or answers, as are waited for."""
        if len(self._good) + self._dropped >= self._wanted:
            self.ended = Ended.ENOUGH
        elif self._answers >= self._places:
            self.ended = Ended.ALL_ANSWERED
        return self.ended is not None

    def _judge(self, found: Found) -> None:
        offer = found.offer
        lacking = [
            wanted
            for wanted in self._wishes.capabilities
            if not wanted.selected_at(offer.capabilities)
        ]
        why, detail = None, ""
        if not offer.transcoder:
            why = Why.ADVERTISES_ONLY
        elif offer.eth_address.removeprefix("0x").lower() in self._wishes.blocked:
            why = Why.BLOCKED
        elif lacking:
            claims = all(each.claimed_by(offer.capabilities) for each in lacking)
            why = Why.NOT_SELECTED if claims else Why.INCOMPATIBLE
            detail = f"without {', '.join(map(str, lacking))}"
        penalty = self._wishes.suspended.get(offer.transcoder, 0)
        if why is Why.NOT_SELECTED and not penalty:
            self._dropped += 1
        if why is not None:
            self._missed.append(Missed(found.visit, why, detail, found.latency_seconds))
        elif penalty:
            self._suspended.append(replace(found, penalty=penalty))
        else:
            self._good.append(found)

    def _nodes_of(self, visit: Visit, offer: Offer) -> list[Visit]:
        """Whom to ask of those that an entry lists."""
        offered = offer.nodes[:_OFFERED]
        listed = [Visit(url, visit.url, position) for position, url in enumerate(offered)]
        if visit.via is not None:
            # What a node lists does not count as seen: somebody else may list it by right.
            self._miss((each for each in listed if each.url not in self._seen), Why.TOO_DEEP)
            return []
        within = max(0, self._wishes.extra_nodes)
        self._miss(listed[within:], Why.BEYOND_EXTRA_NODES)
        return [each for each in listed[:within] if self._is_new(each)]

    def _is_new(self, visit: Visit) -> bool:
        if visit.url in self._seen:
            self._miss([visit], Why.SEEN)
            return False
        self._seen.add(visit.url)
        try:
            gateway_target(visit.url)
        except NotAUrlError as error:
            self._missed.append(Missed(visit, Why.BAD_URL, str(error)))
            return False
        return True

    def _miss(self, visits: Iterable[Visit], why: Why) -> None:
        self._missed.extend(Missed(visit, why) for visit in visits)


def _by_latency(found: Iterable[Found]) -> list[Found]:
    return sorted(found, key=lambda each: each.latency_seconds)
