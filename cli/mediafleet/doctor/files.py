"""What is wrong with the files of the desks: what they say, and whether who they name answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

from mediafleet.doctor.findings import Finding, Level, Page
from mediafleet_common.api.base import Model
from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.api.names import PodState
from mediafleet_common.formats.node_url import BadNodeUrlError, parse_node_url
from mediafleet_common.formats.reach import OWN_WORD
from mediafleet_common.probes import http_client
from mediafleet_common.probes.http_client import NoLoad
from mediafleet_common.probes.load import Load, Source
from mediafleet_common.probes.ping import NodeClient
from mediafleet_common.serving.small_files import read_small
from mediafleet_scheduler.directory.entries_file import (
    FleetEntry,
    NodeEntry,
    NodesFile,
    WorkerEntry,
    WorkersFile,
)
from mediafleet_scheduler.directory.files import BrokenFileError, parse

ANSWER_SECONDS: Final = 5.0
AT_A_TIME: Final = 32
MOST_BYTES: Final = 16 << 20
ModelT = TypeVar("ModelT", bound=Model)


def workers(path: Path) -> list[Finding]:
    """An egress desk's file, and each worker in it by its metrics."""
    file = _read(path, WorkersFile)
    if isinstance(file, Finding):
        return [file]
    return asyncio.run(_workers(str(path), file))


def nodes(path: Path) -> list[Finding]:
    """An advertiser's file, and each node in it by a Ping."""
    file = _read(path, NodesFile)
    if isinstance(file, Finding):
        return [file]
    return asyncio.run(_nodes(str(path), file))


def _read(path: Path, model: type[ModelT]) -> ModelT | Finding:
    try:
        return parse(read_small(path, MOST_BYTES), model)
    except OSError as error:
        what = error.strerror or str(error)
        return Finding(Level.PROBLEM, str(path), what, "give a file of its own", Page.FILE)
    except BrokenFileError as error:
        fix = "correct the file: the desk keeps what it knew"
        return Finding(Level.PROBLEM, str(path), str(error), fix, Page.FILE)


async def _workers(path: str, file: WorkersFile) -> list[Finding]:
    entries = [(fleet, worker) for fleet in file.fleets for worker in fleet.workers]
    found = [Finding(Level.OK, path, f"{len(file.fleets)} fleets, {len(entries)} workers")]
    found += [each for fleet in file.fleets for each in never_fits(fleet)]
    turns = asyncio.Semaphore(AT_A_TIME)
    async with http_client.client() as session:

        async def ask(worker: WorkerEntry) -> Load | NoLoad | None:
            if worker.metrics is None:
                return None
            async with turns:
                return await http_client.poll(
                    session, worker.metrics, Source.EGRESS, ANSWER_SECONDS
                )

        answers = await asyncio.gather(*(ask(worker) for _, worker in entries))
    for (fleet, worker), answer in zip(entries, answers, strict=True):
        found += worker_findings(fleet, worker, answer)
    return found


def never_fits(fleet: FleetEntry) -> Iterator[Finding]:
    """Types of which no worker of a fleet can ever take one."""
    sizes = [worker.cpu or fleet.placement.cpu for worker in fleet.workers]
    known = [size for size in sizes if size is not None]
    if len(known) != len(sizes) or not known:
        return
    who = f"fleet {fleet.name}"
    yield from too_dear(who, fleet.placement, fleet.accepts or tuple(RequestType), max(known))


def too_dear(
    who: str, placement: Placement, accepts: Sequence[RequestType], cpu: float
) -> Iterator[Finding]:
    """Types that cost more than the CPUs of the largest worker."""
    for kind in accepts:
        cost = placement.cpu_cost.of(kind)
        if cost > cpu:
            yield Finding(
                Level.PROBLEM,
                who,
                f"a job of type {kind} costs {cost:g} CPUs, more than the {cpu:g} of the largest",
                f"more CPUs, less in placement.cpuCost, or accepts without {kind}",
                Page.COST,
            )


def worker_findings(
    fleet: FleetEntry, worker: WorkerEntry, answer: Load | NoLoad | None
) -> Iterator[Finding]:
    """What a worker's metrics say about its entry."""
    who = f"worker {fleet.name}/{worker.name}"
    if answer is None:
        fix = "give the URL of its Prometheus metrics as metrics"
        what = "has no metrics: its load is never known"
        yield Finding(Level.NOTE, who, what, fix, Page.WORKER)
    elif isinstance(answer, NoLoad):
        fix = f"is it running, and is {worker.metrics} its prometheus_port?"
        what = f"its metrics cannot be read: {answer.detail}"
        yield Finding(Level.PROBLEM, who, what, fix, Page.WORKER)
    elif answer.cluster_id not in (None, worker.cluster_id):
        yield Finding(
            Level.PROBLEM,
            who,
            f"calls itself {answer.cluster_id} and the file calls it {worker.cluster_id}",
            "write cluster_id as in the worker's own config: requests go to that name",
            Page.WORKER,
        )
    elif answer.disabled and worker.state is PodState.READY:
        what = "takes no job: it is disabled or ending"
        yield Finding(Level.PROBLEM, who, what, "restart it", Page.WORKER)
    elif worker.cpu is None and fleet.placement.cpu is None:
        fix = "give cpu, or placement.cpu of the fleet"
        what = "its CPUs are unknown: nothing is placed on it"
        yield Finding(Level.PROBLEM, who, what, fix, Page.WORKER)
    else:
        jobs = "an unknown number of" if answer.jobs is None else answer.jobs
        yield Finding(Level.OK, who, f"answers, with {jobs} jobs")


async def _nodes(path: str, file: NodesFile) -> list[Finding]:
    turns = asyncio.Semaphore(AT_A_TIME)

    async def ask(node: NodeEntry) -> Finding:
        async with turns:
            return await _node(node)

    found = [Finding(Level.OK, path, f"{len(file.nodes)} nodes")]
    return found + list(await asyncio.gather(*map(ask, file.nodes)))


async def _node(node: NodeEntry) -> Finding:
    who = f"node {node.name}"
    try:
        url = parse_node_url(node.url)
    except BadNodeUrlError as error:
        return Finding(Level.PROBLEM, who, f"url: {error}", "write https://HOST:PORT", Page.NODE)
    async with NodeClient(url, OWN_WORD) as client:
        answer = await client.reach(ANSWER_SECONDS) or await client.ping(ANSWER_SECONDS)
        if not answer.alive:
            fix = f"is it running, and does {node.url} lead to its -serviceAddr from here?"
            what = f"{answer.value}: {client.refusal}"
            return Finding(Level.PROBLEM, who, what, fix, Page.NODE)
        if client.note:
            fix = "see docs/orchestrators.md, Addresses"
            return Finding(Level.NOTE, who, f"answers; {client.note}", fix, Page.NODE)
    return Finding(Level.OK, who, "answers")
