"""The nodes that gateways get, and why the others are left out.

A node is listed when it is ready, its URL can be dialled, and it has answered a ping since it was
last thought dead. A refusal is an answer: a node that is full, or refuses GetOrchestrator, is
not dead (go-livepeer server/rpc.go).
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from mediafleet_common.api.names import PodState
from mediafleet_common.api.pool.advertise import Advertise, Probe
from mediafleet_common.formats.node_url import (
    BadNodeUrlError,
    NodeUrl,
    node_url,
    parse_node_url,
    unreachable,
)
from mediafleet_common.formats.reach import Reach
from mediafleet_scheduler.core.advertise.capabilities import Capabilities
from mediafleet_scheduler.core.advertise.views import Node, PoolView

NodeKey = tuple[str, str]
"""Uid and URL: a node under another address is asked anew."""
Place = tuple[NodeUrl, Reach]
"""Where a node is asked, and which addresses that may lead to."""


class LeftOut(StrEnum):
    """Why a node is not listed."""

    PENDING = "pending"
    DRAINING = "draining"
    NO_ADDRESS = "no_address"
    BAD_URL = "bad_url"
    UNPROBED = "unprobed"
    """It has not answered yet."""
    DEAD = "dead"
    """It answered once, and stopped."""
    ADVERTISES_ONLY = "advertises_only"
    """It takes no work itself, and gateways do not look at the nodes of a node."""
    UNVERIFIED = "unverified"
    """Its pod answers and its address does not, and advertise.listUnverified is false."""
    DUPLICATE = "duplicate"
    """Another node is listed under this address."""


@dataclass(frozen=True, slots=True)
class ProbeRules:
    """When a node counts as alive or dead, and how often it is asked."""

    failures_to_die: int = 3
    """Pings in a row that a listed node must fail to be unlisted: one lost ping is no death."""
    answers_to_rise: int = 2
    """Pings in a row that a dead node must answer to be listed again; a new node needs one."""
    alive_seconds: float = 0.5
    """Between looks at a node that answers."""
    quiet_seconds: float = 10.0
    """Between calls of a node that answers, each of which it logs. In between, its connection is
    pinged every `alive_seconds`, which no application sees."""
    full_seconds: float = 1.0
    """Between calls of a node that said that it is full."""
    doubt_seconds: float = 0.1
    """Until the next ping when the last one said otherwise than what is believed."""
    silent_seconds: float = 0.15
    """Between pings of a node that does not answer."""
    patience: int = 100
    """Failed pings in a row after which a node is asked less often."""
    given_up_seconds: float = 1.0
    """Between pings of a node that has not answered for long."""
    pings_per_second: float = 200.0
    """For all live nodes together; where that is not enough each is asked less often."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the pings of one node have shown so far."""

    alive: bool = False
    ever_alive: bool = False
    answers: int = 0
    """In a row, up to now."""
    failures: int = 0
    """In a row, up to now."""
    advertises_only: bool = False
    capabilities: Capabilities | None = None
    """`None`: it has not told."""
    full: bool | None = None
    """Whether it said that it takes no more; `None`: it has not told."""
    why: str = ""
    """What became of the last ping, where it failed."""
    note: str | None = None
    """What is odd about it and no reason to leave it out."""
    verified: bool = True
    """Whether it was its address that answered, and not only its pod."""

    @property
    def asked(self) -> bool:
        """Whether there was any ping."""
        return self.answers + self.failures > 0

    def after(self, answered: bool, rules: ProbeRules) -> Health:
        """The health with one more ping."""
        if not answered:
            failures = self.failures + 1
            alive = self.alive and failures < rules.failures_to_die
            return replace(self, alive=alive, answers=0, failures=failures)
        answers = self.answers + 1
        needed = rules.answers_to_rise if self.ever_alive else 1
        alive = self.alive or answers >= needed
        return replace(
            self, alive=alive, ever_alive=self.ever_alive or alive, answers=answers, failures=0
        )

    def described(
        self, advertises_only: bool | None, capabilities: Capabilities | None = None
    ) -> Health:
        """The health with what the node says of itself; `None` (it refused) changes nothing."""
        if advertises_only is None:
            return self
        return replace(self, advertises_only=advertises_only, capabilities=capabilities, full=False)

    def refused(self, words: str) -> Health:
        """The health with what it says instead: that it is full, or nothing of itself."""
        return replace(self, full=True if CAPPED in words else None)

    @property
    def describe_every(self) -> int:
        """Calls between two looks at what it says it is."""
        return _DESCRIBE_SILENT if self.full is None else 1


SILENT_FAILURES: Final = 10
"""Pings in a row after which a node that never answered is reported."""
CAPPED: Final = "OrchestratorCapped"
"""What a node says that takes no more (livepeer/go-livepeer core/orchestrator.go, errOrchCap)."""
_DESCRIBE_SILENT: Final = 3
"""It does not speak with us: on-chain, and we have no key."""
NEVER_ASKED: Final = Health()


def either(at_address: Health, at_pod: Health) -> Health:
    """The health of a node that is asked in two places: at its address where that answers."""
    if at_address.alive or not at_pod.alive:
        return at_address
    return replace(at_pod, verified=False)


def call_due(health: Health, seconds: float, rules: ProbeRules) -> bool:
    """Whether to call a node again, so long after the last call, or to look at its connection."""
    if not health.alive or health.failures:
        return True
    return seconds >= (rules.full_seconds if health.full else rules.quiet_seconds)


def pause_seconds(health: Health, nodes: int, rules: ProbeRules, jitter: float) -> float:
    """Until the next ping of a node, one of `nodes`; `jitter` from 0 to 1 keeps them apart."""
    if health.alive and not health.failures:
        pause = max(rules.alive_seconds, nodes / rules.pings_per_second)
    elif health.alive or health.answers:
        pause = rules.doubt_seconds
    elif health.failures < rules.patience:
        pause = rules.silent_seconds
    else:
        pause = rules.given_up_seconds
    return pause * (0.8 + 0.2 * jitter)


def note_on(declared: str, where: NodeUrl) -> str | None:
    """What is odd about the URL that a node gives to gateways, which go there after discovery."""
    there = node_url(declared)
    if not declared or there == where:
        return None
    if there is None:
        return f"it tells gateways {declared}, which they cannot use"
    why = unreachable(there, allow_private=True)
    if why is not None and unreachable(where, allow_private=True) is None:
        return f"it tells gateways {declared}, which {why}"
    return f"it tells gateways {declared}" if there.host != where.host else None


ORDINARY: Final = frozenset({LeftOut.PENDING, LeftOut.DRAINING})
"""Reasons that are no fault."""


@dataclass(frozen=True, slots=True)
class Remark:
    """What to say of one node: why it is not listed, or what is odd about it."""

    name: str
    reason: LeftOut | None
    """`None`: it is listed."""
    detail: str = ""


def remarks(present: Listing, health: Mapping[NodeKey, Health]) -> tuple[Remark, ...]:
    """What to say of the nodes of a pool, by name.

    An ordinary absence is none, as is a node's that has only just become Ready and answers soon.
    """
    found = []
    for node, reason in present.left_out:
        known = health.get(node_key(node), NEVER_ASKED)
        soon = reason is LeftOut.UNPROBED and known.failures < SILENT_FAILURES
        if reason not in ORDINARY and not soon:
            found.append(Remark(node.name, reason, detail(node, known, reason)))
    for node in present.nodes:
        note = detail(node, health.get(node_key(node), NEVER_ASKED), None)
        if note:
            found.append(Remark(node.name, None, note))
    return tuple(sorted(found, key=lambda each: each.name))


def detail(node: Node, health: Health, reason: LeftOut | None) -> str:
    """More of why a node is not listed, or what is odd about one that is; empty: nothing."""
    if reason is None:
        return health.note or ""
    if reason is LeftOut.BAD_URL:
        try:
            parse_node_url(node.url)
        except BadNodeUrlError as error:
            return f"{node.url} cannot be dialled: {error}"
    return health.why if reason in (LeftOut.DEAD, LeftOut.UNPROBED, LeftOut.UNVERIFIED) else ""


@dataclass(frozen=True, slots=True)
class Listing:
    """The nodes to list, and those left out."""

    nodes: tuple[Node, ...]
    """By name, those of sources after our own, those known to be full last; with order fixed this
    is the list."""
    left_out: tuple[tuple[Node, LeftOut], ...]

    @property
    def urls(self) -> tuple[str, ...]:
        """Their URLs."""
        return tuple(node.url for node in self.nodes)


def node_key(node: Node) -> NodeKey:
    """What a node's health is kept under."""
    return node.uid, node.url


def address(node: Node) -> NodeUrl | None:
    """Where to ask a node, or `None` when it cannot be asked."""
    return node_url(node.url)


def to_ask(view: PoolView) -> tuple[dict[NodeKey, Place], dict[NodeKey, Place]]:
    """Which nodes are asked at their addresses, and which at their pods as well."""
    ready = [node for node in view.nodes if node.state is PodState.READY]
    if view.advertise.probe is Probe.NONE:
        return {}, {}
    outside = {node_key(node): (where, node.reach) for node in ready if (where := address(node))}
    if view.advertise.probe is Probe.ADDRESS:
        return outside, {}
    inside = {
        node_key(node): (where, view.reaches.pods)
        for node in ready
        if node_key(node) in outside and (where := node_url(node.pod_url or ""))
    }
    return outside, inside


def listing(
    view: PoolView, health: Mapping[NodeKey, Health], full: Set[NodeKey] = frozenset()
) -> Listing:
    """The nodes of a pool that may be listed, each address once; `full` are known to be so.

    An answer holds at most maxNodes of them; which ones depends on the gateway.
    """
    listed: list[Node] = []
    left_out: list[tuple[Node, LeftOut]] = []
    taken: set[NodeUrl] = set()
    for node in sorted(view.nodes, key=lambda node: _rank(node, full)):
        where = address(node)
        reason = _reason(node, where, health.get(node_key(node), NEVER_ASKED), view.advertise)
        if reason is None and where in taken:
            reason = LeftOut.DUPLICATE
        if reason is not None:
            left_out.append((node, reason))
        elif where is not None:
            taken.add(where)
            listed.append(node)
    return Listing(tuple(listed), tuple(left_out))


def _rank(node: Node, full: Set[NodeKey]) -> tuple[bool, bool, str, str]:
    return node_key(node) in full, node.source is not None, node.name, node.uid


def _reason(
    node: Node, where: NodeUrl | None, health: Health, advertise: Advertise
) -> LeftOut | None:
    if node.state is not PodState.READY:
        return LeftOut.DRAINING if node.state is PodState.DRAINING else LeftOut.PENDING
    if where is None:
        return LeftOut.BAD_URL if node.url else LeftOut.NO_ADDRESS
    if advertise.probe is Probe.NONE:
        return None
    if health.alive and not health.verified and not advertise.list_unverified:
        return LeftOut.UNVERIFIED
    if not health.alive:
        return LeftOut.DEAD if health.ever_alive else LeftOut.UNPROBED
    return LeftOut.ADVERTISES_ONLY if health.advertises_only else None
