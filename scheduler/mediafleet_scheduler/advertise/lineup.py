"""The list as bytes that are ready to be sent, in the order for one request.

Each node is serialised once. An answer is a concatenation, as protobuf and JSON lists are. Answers
are cached, within bounds, while the list, the order and the rooms stay the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, MutableMapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mediafleet_common.api.pool.advertise import Advertise, Order
from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo, PriceInfo
from mediafleet_scheduler.core.advertise import ordering
from mediafleet_scheduler.core.advertise.capabilities import (
    Capabilities,
    Fit,
    Kinds,
    Verdict,
    Wanted,
)
from mediafleet_scheduler.core.advertise.listing import NodeKey, address, node_key
from mediafleet_scheduler.core.advertise.ordering import FULL, Room
from mediafleet_scheduler.core.advertise.views import Node

_KEPT_BYTES: Final = 8 * 1024 * 1024
_KEPT_ANSWERS: Final = 4096
_KEPT_PARTS: Final = 16
_KEPT_VERDICTS: Final = 256
_ADDRESS_BYTES: Final = 20

Expected = MutableMapping[NodeKey, float]
"""Sessions that gateways may have begun on a node since its load was last read."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A gateway without an ETH address of its own, as all are off-chain."""

    ip: str


Caller = bytes | Peer
"""A gateway by its ETH address, or any bytes that are always the same for it; or by its IP."""
_Key = tuple[str | None, int | bytes | tuple[int, ...] | None]
"""The region whose nodes come first, and what else decides the order."""


class Lineup:
    """One version of the list, for all who ask."""

    def __init__(
        self,
        nodes: Sequence[Node],
        rooms: Sequence[Room],
        advertise: Advertise,
        expected: Expected | None = None,
        capabilities: Sequence[Capabilities | None] | None = None,
        unsure: Sequence[bool] | None = None,
    ) -> None:
        self._nodes = nodes
        self._unsure = unsure
        self._kinds: Kinds | None = None
        self._verdicts: dict[tuple[Wanted, ...], Verdict] = {}
        self._capabilities = capabilities or [None] * len(nodes)
        self._parts: dict[Hashable, Lineup] = {}
        self._rooms = rooms
        self._advertise = advertise
        self._most = advertise.max_nodes
        self._names = [str(address(node)) for node in nodes]
        self._keys = [node_key(node) for node in nodes]
        self._expected: Expected = {} if expected is None else expected
        shares = ordering.weights(rooms)
        self._weights = [share * node.weight for share, node in zip(shares, nodes, strict=True)]
        self._standings = ordering.standings(rooms)
        self._turn = 0
        self._turns: dict[Peer, int] = {}
        self._regions = {node.region for node in nodes} - {None}
        self._groups: dict[str | None, list[int]] = {}
        self._cycles: dict[str | None, int] = {}
        self._info = OrchestratorInfo(
            price_info=PriceInfo(
                price_per_unit=advertise.price_per_unit, pixels_per_unit=advertise.pixels_per_unit
            ),
            address=bytes.fromhex((advertise.eth_address or "0x")[2:]),
        ).SerializeToString()
        self._kept: dict[Hashable, bytes] = {}
        self._kept_bytes = 0
        self._share = 1
        """What a part keeps is so much less than what the whole does."""

    @property
    def by_gateway(self) -> bool:
        """Whether the order depends on the gateway."""
        return self._advertise.order is Order.BY_GATEWAY

    def having(self, wanted: tuple[Wanted, ...]) -> Lineup:
        """The same without the nodes that are known to lack any of what is wanted; those of which
        it is not known come after the others, and those that have nothing of it free are last."""
        if not wanted:
            return self
        verdict = self._verdicts.pop(wanted, None)
        if verdict is None:
            if self._kinds is None:
                self._kinds = Kinds(self._capabilities)
            verdict = self._kinds.verdict(wanted)
        if len(self._verdicts) >= _KEPT_VERDICTS:
            del self._verdicts[next(iter(self._verdicts))]
        self._verdicts[wanted] = verdict
        return self._by(verdict)

    def _by(self, verdict: Verdict) -> Lineup:
        if self._kinds is None or set(verdict) in ({Fit.YES}, {Fit.UNKNOWN}):
            return self
        return self._part(verdict, self._kinds.of_nodes(verdict))

    def own(self) -> Lineup:
        """The pool's own nodes, without those of sources: the list for other advertisers.

        It holds every node in a fixed order, whatever the order for gateways: an advertiser
        chooses by itself, and its request begins no session.
        """
        whole = self._advertise.model_copy(update={"order": Order.FIXED, "max_nodes": None})
        fits = [Fit.YES if node.source is None else Fit.NO for node in self._nodes]
        return self._part("own", fits, whole)

    def _part(
        self, key: Hashable, fits: Sequence[Fit], advertise: Advertise | None = None
    ) -> Lineup:
        known = self._parts.pop(key, None)
        if known is None:
            kept = [index for index, each in enumerate(fits) if each is not Fit.NO]
            known = Lineup(
                [self._nodes[index] for index in kept],
                [FULL if fits[index] is Fit.FULL else self._rooms[index] for index in kept],
                advertise or self._advertise,
                self._expected,
                [self._capabilities[index] for index in kept],
                [fits[index] is Fit.UNKNOWN for index in kept],
            )
            known._share = self._share * _KEPT_PARTS
            if len(self._parts) >= _KEPT_PARTS:
                del self._parts[next(iter(self._parts))]
        self._parts[key] = known
        return known

    def orchestrator_info(self, gateway: Caller = b"", region: str | None = None) -> bytes:
        """A serialised OrchestratorInfo for a gateway, by its ETH address and where it is."""
        key = self._key(gateway, region)
        known = self._kept.get(("info", key))
        if known is None:
            known = self._keep(("info", key), self._info + self._fields(key))
        return known

    def nodes(self, gateway: Caller = b"", region: str | None = None) -> bytes:
        """The serialised field `nodes` of an OrchestratorInfo alone, to put into another one."""
        key = self._key(gateway, region)
        known = self._kept.get(("nodes", key))
        return self._keep(("nodes", key), self._fields(key)) if known is None else known

    def _fields(self, key: _Key) -> bytes:
        return b"".join(_field(self._names[index]) for index in self._pick(key))

    def json(self, caller: bytes = b"", region: str | None = None) -> bytes:
        """The list as -orchWebhookUrl wants it, for a caller known by any bytes."""
        key = self._key(caller, region)
        known = self._kept.get(("json", key))
        if known is None:
            entries = [_entry(self._names[index]) for index in self._pick(key)]
            known = self._keep(("json", key), b"[" + b", ".join(entries) + b"]")
        return known

    def _key(self, gateway: Caller, region: str | None) -> _Key:
        """Requests with the same key get the same answer."""
        near = region if region in self._regions else None
        match self._advertise.order:
            case Order.ROTATE:
                self._turn += 1
                return near, (self._turn - 1) % self._cycle(near)
            case Order.BY_GATEWAY if isinstance(gateway, Peer):
                return near, self._turn_of(gateway) % self._cycle(near)
            case Order.BY_GATEWAY if isinstance(gateway, bytes):
                return near, gateway[:_ADDRESS_BYTES]
            case Order.LEAST_LOADED if self._most is not None:
                return near, self._least_loaded(near, self._most)
            case _:
                return near, None

    def _turn_of(self, peer: Peer) -> int:
        """Where this answer begins: several gateways may share an IP address, so each answer begins
        with the next node, the first with one that the address decides."""
        turn = self._turns.pop(peer, None)
        if turn is None:
            digest = hashlib.blake2b(peer.ip.encode(), digest_size=8).digest()
            turn = int.from_bytes(digest, "big")
        if len(self._turns) >= _KEPT_ANSWERS:
            del self._turns[next(iter(self._turns))]
        self._turns[peer] = turn + 1
        return turn

    def _cycle(self, region: str | None) -> int:
        """After how many turns the answers are the same again."""
        known = self._cycles.get(region)
        if known is None:
            known = self._cycles[region] = ordering.turns(self._ranks(region))
        return known

    def _ranks(self, region: str | None) -> list[int]:
        known = self._groups.get(region)
        if known is None:
            away = [node.region != region for node in self._nodes] if region else None
            known = self._groups[region] = ordering.ranks(self._rooms, away, self._unsure)
        return known

    def _pick(self, key: _Key) -> Sequence[int]:
        region, which = key
        groups = self._ranks(region)
        match which:
            case int(turn):
                return ordering.rotated(groups, turn)[: self._most]
            case bytes(gateway):
                return ordering.by_gateway(gateway, self._names, self._weights, self._most, groups)
            case tuple(indices):
                return indices
        if self._advertise.order is Order.LEAST_LOADED:
            still = [0.0] * len(self._rooms)
            return ordering.least_loaded(groups, self._standings, still, None)
        return ordering.fixed(groups)[: self._most]

    def _least_loaded(self, region: str | None, most: int) -> tuple[int, ...]:
        expected = [self._expected.get(key, 0.0) for key in self._keys]
        groups = self._ranks(region)
        indices = ordering.least_loaded(groups, self._standings, expected, most)
        for index in indices:
            # One session, on any node of the answer.
            self._expected[self._keys[index]] = expected[index] + 1 / len(indices)
        return tuple(indices)

    def _keep(self, key: Hashable, answer: bytes) -> bytes:
        self._kept_bytes += len(answer)
        if self._kept_bytes > _KEPT_BYTES // self._share or len(self._kept) >= _KEPT_ANSWERS:
            self._kept.clear()
            self._kept_bytes = len(answer)
        self._kept[key] = answer
        return answer


@lru_cache(maxsize=8192)
def _field(url: str) -> bytes:
    return OrchestratorInfo(nodes=[url]).SerializeToString()


@lru_cache(maxsize=8192)
def _entry(url: str) -> bytes:
    return json.dumps({"address": url, "score": 1}).encode()
