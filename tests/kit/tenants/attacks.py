"""What a tenant with every right in its own namespace may send, for a test of its neighbours.

`python -m tests.kit.tenants.attacks` reads a plan (JSON) from standard input, attacks for so long,
and prints what it tried, and what it was told that it should not have been.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from redis.exceptions import RedisError
from tests.kit.tenants.messages import Messages
from tests.kit.tenants.objects import Objects
from tests.kit.tenants.plan import Outcome, Plan

from mediafleet_common.kube.client import Api
from mediafleet_common.kube.errors import KubeError
from mediafleet_common.kube.login import configure
from mediafleet_scheduler.psrpc.errors import PsrpcError

FLOODS: Final = {"rapid_resets": 2, "hpack_bombs": 2, "idle_tls": 200, "silent_tcp": 200}
"""Of the victim's public port, by connections."""
BURN: Final = "burn"
"""No attack: as much CPU as the cgroup gives, for comparison."""
PLAIN: Final = "plain"
"""No attack either: calls to the API server that have nothing to do with us."""
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "objects": ("resources", "churn", "pods", "flips", "events"),
    "messages": ("starts", "requests", "granted", "large", "garbage"),
    "http": ("reports", "pages"),
    "floods": tuple(FLOODS),
}
EVERY: Final = tuple(itertools.chain.from_iterable(GROUPS.values()))
REPORTS: Final = ("demand", "explain", "costs", "conditions")
OPEN: Final = ("metrics", "orchestrators", "ui/", "readyz")
READERS: Final = 4
_REPORT_SECONDS: Final = 2.0
_BEGUN_SECONDS: Final = 60.0
_END_SECONDS: Final = 20.0
_REFUSALS: Final = (KubeError, PsrpcError, RedisError, aiohttp.ClientError, OSError, TimeoutError)


class Attacker:
    """The planned attacks at once, until they are cancelled."""

    def __init__(self, plan: Plan, api: Api, http: aiohttp.ClientSession) -> None:
        self.outcome = Outcome()
        self._plan = plan
        self._http = http
        self._all_begun = asyncio.Event()
        self._over = False
        objects, messages = Objects(plan, api), Messages(plan, self.outcome)
        self._attacks: dict[str, Callable[[], AsyncIterator[Awaitable[object]]]] = {
            each.__name__: each
            for each in (
                *(objects.resources, objects.churn, objects.pods, objects.flips, objects.events),
                *(messages.starts, messages.requests, messages.granted, messages.large),
                *(messages.garbage, self.reports, self.pages, objects.plain),
            )
        }

    async def run(self) -> None:
        """Attack for as long as planned."""
        tasks = [asyncio.create_task(self._begin(each)) for each in self._plan.attacks]
        await asyncio.sleep(self._plan.seconds)
        # On a slow day not all have begun by then.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_BEGUN_SECONDS):
                await self._all_begun.wait()
        self._over = True
        for task in tasks:
            task.cancel()
        done, _ = await asyncio.wait(tasks, timeout=_END_SECONDS)
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _begin(self, name: str) -> None:
        seconds = str(max(int(self._plan.seconds) - 1, 1))
        if name in FLOODS:
            words = (name, "8935", seconds, str(FLOODS[name]), self._plan.advertiser)
            await self._process("-m", "mediafleet_testbed.load.floods", *words)
        elif name == BURN:
            await asyncio.gather(*(self._process("-c", "while True: pass") for _ in range(2)))
        else:
            await self._again(self._attacks[name])

    async def _again(self, attack: Callable[[], AsyncIterator[Awaitable[object]]]) -> None:
        async for each in attack():
            self._note_begun(attack.__name__)
            if self._over:
                # redis-py keeps a cancellation to itself when it comes at the wrong moment.
                return
            try:
                await each
            except _REFUSALS as error:
                self.outcome.tried[f"{attack.__name__}: {type(error).__name__}"] += 1

    def _note_begun(self, name: str) -> None:
        self.outcome.tried[name] += 1
        if all(self.outcome.tried[each] for each in self._plan.attacks):
            self._all_begun.set()

    async def reports(self) -> AsyncIterator[Awaitable[object]]:
        """Reports of others, by every token that one can get hold of."""
        for host in itertools.cycle((self._plan.desk, self._plan.advertiser)):
            for what, token in self._plan.tokens.items():
                for report in REPORTS:
                    yield self._read(f"http://{host}:8080/{report}", what, token)

    async def pages(self) -> AsyncIterator[Awaitable[object]]:
        """What answers without a token, read by several at a time."""
        for host in itertools.cycle((self._plan.desk, self._plan.advertiser)):
            for path in OPEN:
                url = f"http://{host}:8080/{path}"
                yield asyncio.gather(*(self._drop(url) for _ in range(READERS)))

    async def _drop(self, url: str) -> None:
        limit = aiohttp.ClientTimeout(total=_REPORT_SECONDS)
        async with self._http.get(url, timeout=limit) as answer:
            await answer.read()

    async def _read(self, url: str, what: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        limit = aiohttp.ClientTimeout(total=_REPORT_SECONDS)
        async with self._http.get(url, headers=headers, timeout=limit) as answer:
            if answer.status == 200:
                self.outcome.seen.append(f"{url} by {what}: {(await answer.text())[:80]}")

    async def _process(self, *words: str) -> None:
        """One of our own, in a process that the cgroup holds too."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, stdout=asyncio.subprocess.DEVNULL
        )
        self._note_begun(BURN if words[0] == "-c" else words[2])
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@asynccontextmanager
async def attacker(plan: Plan) -> AsyncIterator[Attacker]:
    """With the account's own credentials."""
    async with (
        Api(await configure(plan.kubeconfig)) as api,
        aiohttp.ClientSession() as http,
    ):
        yield Attacker(plan, api, http)


async def main(plan: Plan) -> None:
    """Attack, and tell."""
    async with attacker(plan) as one:
        await one.run()
    print(json.dumps({"tried": one.outcome.tried, "seen": one.outcome.seen}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Plan(**json.load(sys.stdin))))
