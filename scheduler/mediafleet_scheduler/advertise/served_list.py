"""The list in force, ready to be sent, and a log of its changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mediafleet_common.api.names import PodState
from mediafleet_common.api.pool.advertise import Advertise, Probe
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.advertise.lineup import Lineup
from mediafleet_scheduler.advertise.loads import Loads
from mediafleet_scheduler.advertise.metrics import AdvertiseMetrics
from mediafleet_scheduler.advertise.prober import Manner, Prober
from mediafleet_scheduler.advertise.settings import LoadTimes
from mediafleet_scheduler.core.advertise.capabilities import declared
from mediafleet_scheduler.core.advertise.listing import (
    NEVER_ASKED,
    Health,
    LeftOut,
    Listing,
    NodeKey,
    Remark,
    detail,
    either,
    listing,
    node_key,
    remarks,
    to_ask,
)
from mediafleet_scheduler.core.advertise.ordering import FULL, UNKNOWN, Room, basis
from mediafleet_scheduler.core.advertise.views import Node, PoolView

_log: Final = logging.getLogger(__name__)
_SHOWN: Final = 10
_GATHER_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class Notice:
    """One version of the list, for all requests."""

    listing: Listing
    advertise: Advertise
    basis: tuple[object, ...]
    """What of the nodes' rooms decides the order, and what they can do."""
    lineup: Lineup


class ServedList:
    """Makes a notice of each view and each change in the nodes' health and load."""

    def __init__(
        self,
        metrics: AdvertiseMetrics,
        manner: Manner | None = None,
        clock: Clock = SYSTEM,
        load_times: LoadTimes | None = None,
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        manner = manner or Manner()
        self._outside = Prober(manner, metrics, self._update_soon, clock=clock)
        self._inside = Prober(manner, metrics, self._update_soon, Probe.POD, clock)
        self._expected: dict[NodeKey, float] = {}
        self._loads = Loads(metrics, self._update_soon, self._forget_expected, times=load_times)
        self._view: PoolView | None = None
        self._notice: Notice | None = None
        self._ready = asyncio.Event()
        self._whole = False
        """Whether every node was probed once; before that the list would be too short."""
        self._due: asyncio.TimerHandle | None = None
        self._bad: set[NodeKey] = set()
        self._said: dict[str, str] = {}
        """What was last logged of a node, by name."""
        self._timed: set[NodeKey] = set()
        self._made_at: float | None = None
        metrics.list_age.set_function(self._age_seconds)

    @property
    def notice(self) -> Notice | None:
        """The list in force; `None` until every node of the first view has been asked once."""
        return self._notice

    @property
    def view(self) -> PoolView | None:
        """What the list is made of."""
        return self._view

    @property
    def rooms(self) -> Mapping[NodeKey, Room]:
        """The loads of nodes, as far as they are known."""
        return self._loads.rooms

    @property
    def unverified(self) -> list[str]:
        """Names of nodes whose pods answer and whose addresses do not."""
        health = self._health()
        return [
            node.name
            for node in (self._view.nodes if self._view else ())
            if (each := health.get(node_key(node))) and each.alive and not each.verified
        ]

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """Which nodes are not listed and why, and what is odd about others."""
        return () if self._notice is None else remarks(self._notice.listing, self._health())

    @property
    def full(self) -> set[NodeKey]:
        """Nodes that take no more, as their loads or they themselves tell."""
        full = {key for key, room in self._loads.rooms.items() if room.full}
        return full | {key for key, each in self._health().items() if each.full}

    def detail(self, node: Node, reason: LeftOut | None) -> str:
        """More of why a node is not listed, or what is odd about one that is."""
        return detail(node, self._health().get(node_key(node), NEVER_ASKED), reason)

    async def ready(self) -> None:
        """Wait for the first notice."""
        await self._ready.wait()

    async def close(self) -> None:
        """Stop asking nodes; the notice stays."""
        await self._outside.close()
        await self._inside.close()
        await self._loads.close()
        if self._due is not None:
            self._due.cancel()

    def take(self, view: PoolView) -> None:
        """Make the list anew from another view; a node that drains is off it on return."""
        if self._view is not None and self._view.advertise.probe is not view.advertise.probe:
            self._whole = False
        self._view = view
        outside, inside = to_ask(view)
        self._outside.follow(outside)
        self._inside.follow(inside)
        self._loads.follow(view)
        self._update()

    def _forget_expected(self, key: NodeKey) -> None:
        self._expected.pop(key, None)

    def _update_soon(self) -> None:
        # A thousand nodes that answer for the first time make a few lists, not a thousand.
        if self._due is None:
            loop = asyncio.get_running_loop()
            self._due = loop.call_later(_GATHER_SECONDS, self._update)

    def _update(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._view is None or not (self._whole or self._all_asked()):
            return
        self._whole = True
        health = self._health()
        present = listing(self._view, health, self.full)
        self._metrics.unverified.labels(self._view.name).set(
            sum(each.alive and not each.verified for each in health.values())
        )
        self._account(self._view, present)
        before = self._notice.listing.nodes if self._notice else ()
        self._made_at = self._clock.unix()
        self._notice = self._next(present, self._view.advertise, health)
        if before != present.nodes or not self._ready.is_set():
            self._report_change(self._view, before, present)
        self._say(remarks(present, health))
        self._ready.set()

    def _all_asked(self) -> bool:
        return self._outside.all_asked and self._inside.all_asked

    def _health(self) -> Mapping[NodeKey, Health]:
        outside, inside = self._outside.health, self._inside.health
        if not inside:
            return outside
        return {key: either(each, inside.get(key, NEVER_ASKED)) for key, each in outside.items()}

    def _next(
        self, present: Listing, advertise: Advertise, health: Mapping[NodeKey, Health]
    ) -> Notice:
        known = self._loads.rooms
        said = [health.get(node_key(node), NEVER_ASKED) for node in present.nodes]
        rooms = [
            FULL if each.full else known.get(node_key(node), UNKNOWN)
            for node, each in zip(present.nodes, said, strict=True)
        ]
        can = [
            each.capabilities or declared(node.models)
            for node, each in zip(present.nodes, said, strict=True)
        ]
        state = (present, advertise, (*basis(advertise.order, rooms), *can))
        before = self._notice
        if before is not None and (before.listing, before.advertise, before.basis) == state:
            return before
        self._expected = {
            key: self._expected[key]
            for key in map(node_key, present.nodes)
            if key in self._expected
        }
        return Notice(*state, Lineup(present.nodes, rooms, advertise, self._expected, can))

    def _age_seconds(self) -> float:
        return 0.0 if self._made_at is None else max(0.0, self._clock.unix() - self._made_at)

    def _account(self, view: PoolView, present: Listing) -> None:
        self._metrics.list_size.labels(view.name).set(len(present.nodes))
        reasons = [reason for _, reason in present.left_out]
        for reason in LeftOut:
            self._metrics.left_out.labels(view.name, reason.value).set(reasons.count(reason))
        keys = {node_key(node) for node in view.nodes}
        self._bad &= keys
        self._timed &= keys
        for node, reason in present.left_out:
            if reason is LeftOut.BAD_URL and node_key(node) not in self._bad:
                self._bad.add(node_key(node))
                self._metrics.bad_urls.inc()

    def _say(self, said: tuple[Remark, ...]) -> None:
        """Log what is new about single nodes; the detail may change from ping to ping."""
        for each in said:
            news = each.detail if each.reason is None else each.reason.value
            if self._said.get(each.name) == news:
                continue
            self._said[each.name] = news
            if each.reason is None:
                _log.warning("node %s is listed, but %s", printable(each.name), printable(news))
            else:
                why = f"{news}, {each.detail}" if each.detail else news
                _log.warning("node %s is not listed: %s", printable(each.name), printable(why))
        self._said = {each.name: self._said[each.name] for each in said if each.name in self._said}

    def _report_change(self, view: PoolView, before: tuple[Node, ...], present: Listing) -> None:
        old, new = {node_key(node) for node in before}, {node_key(node) for node in present.nodes}
        if old != new:
            self._metrics.list_updates.labels(view.name).inc()
        self._time(view, old, new)
        reasons = {node_key(node): reason.value for node, reason in present.left_out}
        on = [printable(node.name) for node in present.nodes if node_key(node) not in old]
        off = [
            f"{printable(node.name)} ({reasons.get(node_key(node), 'gone')})"
            for node in before
            if node_key(node) not in new
        ]
        _log.info(
            "%d of %d nodes listed; on: %s; off: %s",
            len(present.nodes),
            len(view.nodes),
            _some(on),
            _some(off),
        )

    def _time(self, view: PoolView, old: set[NodeKey], new: set[NodeKey]) -> None:
        for node in view.nodes:
            key = node_key(node)
            if node.changed_at is None:
                continue
            age = max(0.0, self._clock.unix() - node.changed_at)
            if key in new and key not in self._timed:
                self._timed.add(key)
                self._metrics.listed_seconds.observe(age)
            elif key in old and node.state is PodState.DRAINING:
                self._timed.discard(key)
                self._metrics.unlisted_seconds.observe(age)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "none") + more
