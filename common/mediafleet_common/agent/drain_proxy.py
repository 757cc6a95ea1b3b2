"""The drain proxy as the agent handles it: tells it what to refuse, and reads what it waits for.

HAProxy's master hands commands to its workers: one that serves, and those from before a reload
that still have requests (HAProxy management guide, 9.4). A reload ends idle connections and sends
GOAWAY on the others; what is in flight goes on in the old worker.
"""

from __future__ import annotations

import asyncio
import csv
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mediafleet_common.agent.network import Transferred
from mediafleet_common.agent.proxy_config import COUNTED, ORIGINS, REFUSES, ProxyFiles
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.times import unix
from mediafleet_common.serving.small_files import read_small_text

_log: Final = logging.getLogger(__name__)
_ANSWER_SECONDS: Final = 2.0
_MAX_BYTES: Final = 1024 * 1024
_PAUSE_SECONDS: Final = 0.3


@dataclass(frozen=True, slots=True)
class ProxySight:
    """What the proxy says; `None` is unknown."""

    refusing: bool | None = None
    """Whether every worker of it refuses new work."""
    in_flight: int | None = None
    """Requests that are work and have not been answered to their end."""
    transferred: Transferred | None = None
    """Bytes of requests and answers since its workers started."""


GONE: Final = ProxySight(None, 0)
"""It does not run: nobody is connected to the node."""


def refuses(answer: str, now: float) -> bool | None:
    """Whether to refuse at `now`, by the annotation's text; `None`: that is no time."""
    if not answer.strip():
        return False
    since = unix(answer.strip())
    return None if since is None else now >= since


def workers(answer: str) -> tuple[int, ...]:
    """Process ids in the answer to `show proc`."""
    rows = [line.split() for line in answer.splitlines()]
    return tuple(int(row[0]) for row in rows if row[1:2] == ["worker"] and row[0].isdigit())


def in_flight(answer: str) -> int | None:
    """Requests that are work in the answer to `show stat`; `None`: it is none."""
    rows = csv.DictReader(line for line in answer.removeprefix("# ").splitlines() if line)
    counts = [
        row["scur"]
        for row in rows
        if row.get("svname") == "BACKEND" and row.get("pxname") in COUNTED and row.get("scur")
    ]
    if len(counts) != len(COUNTED) or not all(each.isdigit() for each in counts):
        return None
    return sum(map(int, counts))


def transferred(answer: str) -> Transferred | None:
    """Bytes that gateways sent and got in the answer to `show stat`; `None`: it does not say."""
    rows = csv.DictReader(line for line in answer.removeprefix("# ").splitlines() if line)
    for row in rows:
        if (row.get("pxname"), row.get("svname")) == ("node", "FRONTEND"):
            got, sent = row.get("bin") or "", row.get("bout") or ""
            if got.isdigit() and sent.isdigit():
                return Transferred(int(got), int(sent))
    return None


def table_keys(answer: str) -> frozenset[str]:
    """The keys in the answer to `show table`."""
    words = (line.split() for line in answer.splitlines())
    return frozenset(row[1][4:] for row in words if row[1:] and row[1].startswith("key="))


@dataclass(slots=True)
class DrainProxy:
    """The proxy of this pod."""

    files: ProxyFiles
    refuse_from: Path
    """File with the pod's annotation."""
    clock: Clock = SYSTEM

    async def follow(self) -> None:
        """Keep the proxy as the annotation says, for ever."""
        said = ""
        while True:
            try:
                await self.step()
                said = ""
            except (OSError, TimeoutError) as error:
                if said != (said := str(error)):
                    _log.warning("the drain proxy was not told: %s", error)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def step(self) -> None:
        """Compare, and tell it.

        Raises:
            OSError, TimeoutError: it does not answer, or a file cannot be read or written.
        """
        wanted = refuses(_text(self.refuse_from), self.clock.unix())
        if wanted is None:
            return
        if wanted is not (_text(self.files.refusing).strip() == REFUSES):
            # First the file: a worker that starts meanwhile reads it.
            _replace(self.files.refusing, f"{REFUSES}\n" if wanted else "")
        pids = await self._workers()
        wrong = [pid for pid in pids if await self._refuses(pid) is not wanted]
        if not wrong:
            return
        for pid in wrong:
            verb = f"add acl {self.files.refusing} {REFUSES}"
            await self._ask(f"@!{pid} {verb if wanted else f'clear acl {self.files.refusing}'}")
        if wanted:
            await self._ask("reload")
        _log.info("new work is %s", "refused" if wanted else "taken")

    async def look(self) -> ProxySight:
        """What it says now."""
        try:
            pids = await self._workers()
            refusing = [await self._refuses(pid) for pid in pids]
            stats = [await self._ask(f"@!{pid} show stat") for pid in pids]
        except (ConnectionRefusedError, FileNotFoundError):
            return GONE
        except (OSError, TimeoutError):
            return ProxySight()
        if not pids:
            return ProxySight()
        counts = _sum(map(in_flight, stats))
        return ProxySight(all(refusing), counts, _together(map(transferred, stats)))

    async def origins(self) -> frozenset[str]:
        """Streams of the last half minute, each as `NETWORK|STREAM`; none where it does not say."""
        try:
            answers = [
                await self._ask(f"@!{pid} show table {ORIGINS}") for pid in await self._workers()
            ]
        except (OSError, TimeoutError):
            return frozenset()
        return frozenset[str]().union(*map(table_keys, answers))

    async def _workers(self) -> tuple[int, ...]:
        return workers(await self._ask("show proc"))

    async def _refuses(self, pid: int) -> bool:
        answer = await self._ask(f"@!{pid} show acl {self.files.refusing}")
        return any(line.split()[1:2] == [REFUSES] for line in answer.splitlines())

    async def _ask(self, command: str) -> str:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(self.files.socket)
            try:
                writer.write(f"{command}\n".encode())
                # One command: without an end HAProxy would wait for the next.
                writer.write_eof()
                answer = bytearray()
                while (part := await reader.read(64 * 1024)) and len(answer) < _MAX_BYTES:
                    answer += part
                return answer.decode(errors="replace")
            finally:
                writer.close()


def _sum(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(each for each in known if each is not None)


def _together(all_of_them: Iterable[Transferred | None]) -> Transferred | None:
    known = [each for each in all_of_them if each is not None]
    if not known:
        return None
    return Transferred(sum(each.received for each in known), sum(each.sent for each in known))


def _text(path: Path) -> str:
    try:
        return read_small_text(path)
    except FileNotFoundError:
        return ""


def _replace(path: Path, text: str) -> None:
    """Whole or not at all, also when the process ends in between."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)
