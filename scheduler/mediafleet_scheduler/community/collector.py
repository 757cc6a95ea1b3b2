"""Reads what several operators share, again and again: the newest of each is in memory, and weeks
are in a store where there is one."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.reach import OWN_WORD, PUBLIC, Reach
from mediafleet_common.formats.times import rfc3339
from mediafleet_common.probes.http_client import FetchError, client, fetch
from mediafleet_common.serving.small_files import read_small
from mediafleet_scheduler.community.tickets.paid import Paid
from mediafleet_scheduler.community.weeks.archive import Archive
from mediafleet_scheduler.community.weeks.store import StoreError
from mediafleet_scheduler.core.community.checks.payouts import Payouts
from mediafleet_scheduler.core.community.collecting import (
    NoSummaryError,
    Summary,
    View,
    read_summary,
    together,
)
from mediafleet_scheduler.core.community.mapping import world_view
from mediafleet_scheduler.core.community.members.chain import (
    NoListError,
    Orchestrator,
    read_orchestrators,
)
from mediafleet_scheduler.core.community.members.detail import Member
from mediafleet_scheduler.core.community.weeks.series import HOUR_SECONDS, starts

LOOK_SECONDS: Final = 60.0
_TIMEOUT_SECONDS: Final = 10.0
_AT_ONCE: Final = 16
_OLD_SECONDS: Final = 86_400.0
"""An older answer counts as none: a summary covers one day."""
_LEFT: Final = "HTTP 410"
"""What an advertiser answers once its operator has left."""
_MOST_LIST_BYTES: Final = 4 * 1024 * 1024
_LIST_SECONDS: Final = 600.0

_log: Final = logging.getLogger(__name__)


async def orchestrators(place: str) -> list[Orchestrator]:
    """The list of orchestrators that a file or a URL holds.

    Raises:
        NoListError: it cannot be read, or is none.
    """
    try:
        if place.startswith(("https://", "http://")):
            async with client(reach=OWN_WORD) as session:
                body = await fetch(session, place, _TIMEOUT_SECONDS, _MOST_LIST_BYTES)
        else:
            body = await asyncio.to_thread(read_small, Path(place), _MOST_LIST_BYTES)
    except FetchError as error:
        raise NoListError(error.no_load.detail) from error
    except OSError as error:
        raise NoListError(error.strerror or str(error)) from error
    return read_orchestrators(body)


@dataclass(slots=True)
class Target:
    """An operator that is asked."""

    url: str
    summary: Summary | None = None
    accepted_at: float | None = None
    """Unix seconds of the last report that was taken."""
    refused: str | None = None
    """Why the last one was not; `None`: it was."""
    listed: Orchestrator | None = None
    """Its entry in the list of orchestrators; `None`: the user named it."""
    address: bytes | None = None
    """Its ETH address, as the user says it."""
    left: bool = False
    """It has said that its operator has left."""
    deleted: bool = False
    """The store has nothing of it any more."""


class Collector:
    """All operators that are asked, and the view of them together."""

    def __init__(
        self,
        urls: Sequence[str] | Mapping[str, bytes | None],
        operator: str,
        clock: Clock = SYSTEM,
        from_chain: str | None = None,
        strangers: Reach = PUBLIC,
        paid: Paid | None = None,
        archive: Archive | None = None,
    ) -> None:
        """`urls`: whom the user names, with their ETH address where it is known; `from_chain`: file
        or URL of a list of orchestrators, who are dialled within `strangers`; `paid`: what they are
        held to, and others estimated by; `archive`: where weeks are kept."""
        named = urls if isinstance(urls, Mapping) else dict.fromkeys(urls)
        self.targets = {url: Target(url, address=address) for url, address in named.items()}
        self._operator = operator
        self._clock = clock
        self._from_chain = from_chain
        self._strangers = strangers
        self._list_read_at: float | None = None
        self._paid = paid
        self.archive = archive
        self._restored = archive is None
        self._changed = asyncio.Event()
        self.view = b""
        """JSON of what anybody may see."""
        self.show()

    async def run(self) -> None:
        """Ask all of them every minute, until cancelled."""
        while True:
            try:
                await self.read_list()
            except NoListError as error:
                _log.warning(
                    "--from-chain %s: %s; the list in force stays", self._from_chain, error
                )
            if self._paid is not None:
                await self._paid.try_to_read()
            await self.restore()
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def once(self) -> None:
        """Ask all of them once, with the list and the tickets.

        Raises:
            NoListError: the list cannot be read.
        """
        await self.read_list()
        if self._paid is not None:
            await self._paid.try_to_read(seconds=None)
        await self.look()

    def together(self) -> View:
        """Sums of who shares, and of whom nothing is known: who is silent, left or marked."""
        marked = self.payouts.marked
        counted = {url: each for url, each in self.summaries.items() if url not in marked}
        return together(counted, self.targets.keys() - counted.keys())

    async def read_list(self) -> None:
        """Read the list of orchestrators, where there is one, every ten minutes.

        Raises:
            NoListError: it cannot be read; the one before stays.
        """
        now = self._clock.unix()
        if self._from_chain is None or now < (self._list_read_at or 0.0) + _LIST_SECONDS:
            return
        self._list_read_at = now
        listed = {each.url: each for each in await orchestrators(self._from_chain)}
        for url in [each.url for each in self.targets.values() if each.listed]:
            if url not in listed:
                del self.targets[url]
        for url, entry in listed.items():
            self.targets.setdefault(url, Target(url, listed=entry)).listed = entry

    async def look(self) -> None:
        """Ask all of them once."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def ask(target: Target) -> None:
            async with gate:
                await self._ask(target)

        async with asyncio.TaskGroup() as tasks:
            for each in self.targets.values():
                tasks.create_task(ask(each))
        await self._keep()
        self.show()

    async def look_again(self, url: str) -> Target | None:
        """Ask one at once; `None`: it is not among those that are asked, and nothing of it is kept.

        Raises:
            AwayError: whether the store has anything of it cannot be told.
        """
        target = self.targets.get(url)
        if target is None and self.archive is not None and await self.archive.knows(url):
            # Asked once, and no more: a stranger's word by now, and dialled as one.
            target = Target(url, listed=Orchestrator(url))
        if target is not None:
            await self._ask(target)
            await self._delete(target)
            self.show()
        return target

    async def restore(self) -> None:
        """What the last day is known to have been, until each operator answers."""
        if self.archive is None or self._restored:
            return
        try:
            found = await self.archive.restore()
        except StoreError as error:
            _log.warning("--store: nothing is read of the last day: %s", error)
            return
        self._restored = True
        for url, summary in found.items():
            target = self.targets.get(url)
            if target is not None and target.summary is None and not target.left:
                target.summary = summary
                target.accepted_at = max(starts(summary)) + HOUR_SECONDS
        self.show()

    async def _keep(self) -> None:
        """Hours go to the store, and what is of operators who have left goes from it."""
        if self.archive is not None:
            await self.archive.keep(self.summaries, len(self.targets))
            for each in self.targets.values():
                await self._delete(each)

    async def _delete(self, target: Target) -> None:
        if self.archive is not None and target.left and not target.deleted:
            target.deleted = await self.archive.forget(target.url)

    async def changed(self) -> None:
        """Wait until the view is another."""
        await self._changed.wait()

    def operators(self) -> list[dict[str, Any]]:
        """Each operator by itself: for those who run the collector."""
        paid = self.payouts
        return [
            {
                "target": each.url,
                "region": each.summary.region if each.summary else None,
                "accepted": None if each.accepted_at is None else rfc3339(each.accepted_at),
                "refused": each.refused,
                **paid.as_json(each.url),
            }
            for each in self.targets.values()
        ]

    @property
    def summaries(self) -> dict[str, Summary]:
        """What each told within a day, by target."""
        now = self._clock.unix()
        return {
            each.url: each.summary
            for each in self.targets.values()
            if each.summary and now - (each.accepted_at or 0) < _OLD_SECONDS
        }

    @property
    def payouts(self) -> Payouts:
        """What winning tickets say of each; nothing where they are not known."""
        if self._paid is None:
            return Payouts()
        addresses = {each.target: each.address for each in self.members if each.address}
        return self._paid.say(self.summaries, addresses)

    @property
    def members(self) -> list[Member]:
        """All that are asked, by who they are and when a report was taken."""
        return [
            Member(
                each.url,
                each.accepted_at,
                each.address or (each.listed.address if each.listed else None),
            )
            for each in self.targets.values()
        ]

    async def _ask(self, target: Target) -> None:
        if target.listed is not None and target.listed.refusal is not None:
            target.refused = f"no summary: {target.listed.refusal}"
            return
        try:
            summary = read_summary(await self._read(target))
        except FetchError as error:
            target.refused = error.no_load.detail
            if target.refused == _LEFT:
                target.summary = target.accepted_at = None
                target.left = True
            elif target.listed is not None:
                target.refused = f"no summary: {target.refused}"
        except NoSummaryError as error:
            target.refused = f"no summary: {error}"
        else:
            target.summary, target.accepted_at = summary, self._clock.unix()
            target.refused = None
            target.left = target.deleted = False

    async def _read(self, target: Target) -> bytes:
        """Who stands on-chain is a stranger there, whose certificate is their own, as gateways
        take it."""
        url = f"{target.url.rstrip('/')}/summary"
        listed = target.listed is not None
        async with client(reach=self._strangers if listed else OWN_WORD) as session:
            return await fetch(session, url, _TIMEOUT_SECONDS, tls=not listed)

    def shown_beside(self) -> dict[str, Any]:
        """What is said with each view: who runs this, and how the store is."""
        store = None if self.archive is None else self.archive.state()
        return {"operator": self._operator, "store": store}

    def show(self) -> None:
        """Make the view of what is known now."""
        now = self._clock.unix()
        paid = self.payouts
        known = [each for url, each in self.summaries.items() if url not in paid.marked]
        shown = world_view(known, len(self.targets) - len(known), now, paid.beside)
        view = json.dumps({**self.shown_beside(), **shown}, sort_keys=True).encode()
        if view != self.view:
            self.view = view
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()
