"""Two brokers that share tasks in a Redis that one thing goes wrong with, and what must hold.

The broker that tasks come to reaches Redis through the proxy, the other one beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from tests.kit.egress.scene import eventually
from tests.kit.faults.redises.pair import Redises
from tests.kit.faults.redises.plans import FAILOVERS, RedisCourse, RedisPlan
from tests.kit.workers.scene import Broker, Worker, broker, registration, worker

from mediafleet_scheduler.broker.serve import Times
from mediafleet_scheduler.broker.shared import scripts
from mediafleet_scheduler.broker.shared.ledger import client_of
from mediafleet_scheduler.broker.shared.tasks import SharedTimes
from mediafleet_scheduler.core.workers.pipelines import Pipeline

STORY: Final = "tasks of two brokers"
CONVERGE_SECONDS: Final = 90.0
IMAGE: Final = (Pipeline.TEXT_TO_IMAGE, "m/sd")
_TASKS: Final = 3
_CAPACITY: Final = 2
_ANSWER_SECONDS: Final = 0.5
_TIMES: Final = Times(shared=SharedTimes(0.25, 2.0, _ANSWER_SECONDS))
_BEAT: Final = hashlib.sha1(scripts.BEAT.encode()).hexdigest().encode()
"""Redis' name of the script that brokers run at their own times."""
_LOST: Final = (404, 502)
"""By these a caller is told that a task is not known any more, or is lost."""


async def submit(some: Broker, prompt: str) -> str:
    """A task of the JSON API; its id."""
    task = {"pipeline": IMAGE[0].value, "request": {"model_id": IMAGE[1], "prompt": prompt}}
    async with some.session.post(f"{some.runner}/v1/tasks", json=task) as response:
        assert response.status == 202, await response.text()
        return str((await response.json())["id"])


async def result(some: Broker, task: str, wait: float = 1.0) -> tuple[int, Any]:
    """What a broker answers for a task within a while."""
    url = f"{some.runner}/v1/tasks/{task}/result?wait={wait:g}"
    async with some.session.get(url) as response:
        return response.status, await response.json()


async def over(some: Broker, task: str, not_yet: tuple[int, ...] = (202, 503)) -> tuple[int, Any]:
    """A task's answer.

    Raises:
        TimeoutError: it has none in time.
    """
    async with asyncio.timeout(CONVERGE_SECONDS):
        while (said := await result(some, task))[0] in not_yet:
            pass
    return said


async def works(some: Broker, one: Worker, done: list[str]) -> None:
    """Work as a worker that says which request it has done."""
    while True:
        attempt, _, data = await one.job()
        done.append(data["request"]["prompt"])
        part = json.dumps({"did": done[-1]}).encode()
        body = b"--b\r\nContent-Type: application/json\r\n\r\n" + part + b"\r\n--b--\r\n"
        status, _ = await some.post_result(attempt, body, "multipart/mixed; boundary=b")
        assert status == 200


@contextlib.asynccontextmanager
async def two(folder: Path, redises: Redises) -> AsyncIterator[tuple[Broker, Broker]]:
    """Both brokers, until left."""
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for name, url in (("a", redises.through.url), ("b", redises.beside.url)):
            (folder / name).mkdir()
            client = client_of(url, None, _ANSWER_SECONDS)
            made = broker(folder / name, IMAGE, redis=client, times=_TIMES)
            found.append(await stack.enter_async_context(made))
        yield found[0], found[1]


async def lived(plan: RedisPlan | None, folder: Path) -> tuple[RedisCourse, bool]:
    """The story from its start to its end: what it took, and whether the fault came.

    Raises:
        AssertionError, TimeoutError: what must hold did not.
    """
    redises = Redises(plan, lambda frame: _BEAT not in frame)
    done: list[str] = []
    async with (
        redises.running(),
        two(folder, redises) as (a, b),
        worker(a, registration(IMAGE, capacity=_CAPACITY)) as one,
    ):
        working = asyncio.create_task(works(a, one, done))
        prompts = [f"picture {number}" for number in range(_TASKS)]
        tasks = await asyncio.gather(*(submit(a, each) for each in prompts))
        mine = await asyncio.gather(*(over(a, each) for each in tasks))
        failed_over = plan is not None and plan.fault in FAILOVERS
        # A Redis that has forgotten may never have the answer.
        not_yet = (503,) if failed_over else (202, 503)
        theirs = await asyncio.gather(*(over(b, each, not_yet) for each in tasks))
        await eventually(lambda: not a.serving.jobs.dispatcher.in_use(target_of(a)))
        working.cancel()
        for prompt, own, other in zip(prompts, mine, theirs, strict=True):
            _agree(prompt, own, other, failed_over=failed_over)
        if not failed_over:
            assert sorted(done) == prompts, "a task was done twice, or never"
        return redises.traffic.course, redises.traffic.struck


def target_of(some: Broker) -> Any:
    """The model of the one worker there is."""
    (known,) = some.serving.jobs.dispatcher.workers
    (target,) = known.offers
    return target


def _agree(prompt: str, own: tuple[int, Any], other: tuple[int, Any], *, failed_over: bool) -> None:
    """One answer, whoever is asked; a Redis that has forgotten may cost it, and that is said."""
    wanted = (200, {"did": prompt})
    # A task that could not be written is done all the same; the other broker never hears of it.
    assert own == wanted or (failed_over and own[0] in _LOST), own
    assert other == wanted or other[0] == 404 or (failed_over and other[0] in (202, *_LOST)), other
