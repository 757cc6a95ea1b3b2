"""No pod with a job or session is deleted by a scale-down or a template change before its time.

Five fleets at once are scaled and changed at random while half their pods are busy. What the API
server was asked to delete is compared with what the workers themselves say they had.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from rich.table import Table
from tests.kit.cluster.product import Product, Values, deployed
from tests.kit.cluster.scene import Scene, watched
from tests.kit.figures import Show
from tests.kit.fleets import changes, manifests
from tests.kit.fleets.changes import Change, NewTemplate, Scale
from tests.kit.fleets.crowds import Crowd
from tests.kit.fleets.users import Users
from tests.kit.watching.verdicts import Deletion, Fault, Violation, judge, waited_for

from mediafleet_common.api.names import Kind
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.load.bursts import quantile
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

SEED: Final = int(os.environ.get("MEDIAFLEET_SEED") or 20260822)
CHANGES: Final = int(os.environ.get("MEDIAFLEET_CHANGES") or 20)
"""Of each fleet."""
MUTANT_CHANGES: Final = 5
REPLICAS: Final = changes.Range(3, 6)
START: Final = 5
REACHED_SECONDS: Final = 420.0
"""Bound for the wanted replicas to serve: ten times what a template change of six pods takes."""
LITTLE_CPU: Final[Values] = {
    "egress": {"resources": {"requests": {"cpu": "100m"}}},
    "advertiser": {"cpu": "20m"},
}
"""With all fleets at their most, what they request and some of a surge fit in two cores: where they
do not, each fleet waits for a place that none of the others gives up."""
PAUSE_SECONDS: Final = (0.0, 6.0)
"""Between two changes: now before a drain is over, so that pods are taken back, now after."""
HALF_BUSY_SECONDS: Final = 4.0
DRAINED_SECONDS: Final = 120.0
SLOW_START: Final = {"STANDIN_START_SECONDS": "3"}
"""A job that starts for longer than the settle time is a job, though no metric counts it yet."""

pytestmark = pytest.mark.timeout(1800)


@dataclass(frozen=True, slots=True)
class Fleet:
    """One fleet and who uses it."""

    kind: Kind
    name: str
    request: str = ""
    """What an egress fleet accepts, so that each has jobs of its own."""
    spec: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)

    def manifest(self, redis: str) -> dict[str, Any]:
        """The resource."""
        if self.kind is Kind.ORCHESTRATOR_POOL:
            return manifests.orchestrator_pool(self.name, START, **self.spec)
        spec = {"accepts": [self.request], **self.spec}
        return manifests.egress_fleet(self.name, redis, START, env=self.env, **spec)

    async def users(self, scene: Scene, chance: random.Random) -> Users:
        """Those who give it work."""
        if self.kind is Kind.ORCHESTRATOR_POOL:
            return await scene.gateway(self.name, chance)
        return scene.recorders(self.request, chance)


FLEETS: Final = (
    Fleet(Kind.EGRESS_FLEET, "tracks", "track", {"update": {"maxSurge": 3}}),
    Fleet(Kind.EGRESS_FLEET, "slow", "participant", {"update": {"maxSurge": 2}}, SLOW_START),
    Fleet(
        *(Kind.EGRESS_FLEET, "places", "track_composite"),
        {"update": {"strategy": "in_place", "maxSurge": 3}},
    ),
    Fleet(Kind.ORCHESTRATOR_POOL, "surging", spec={"update": {"maxSurge": 3}}),
    Fleet(
        *(Kind.ORCHESTRATOR_POOL, "replacing"),
        spec={"update": {"strategy": "in_place", "maxSurge": 3}},
    ),
)
MUTANT_FLEETS: Final = (FLEETS[0], FLEETS[3])


@dataclass(slots=True)
class Record:
    """What came of the changes of one fleet."""

    fleet: Fleet
    scale_seconds: list[float] = field(default_factory=list)
    template_seconds: list[float] = field(default_factory=list)
    busy_shares: list[float] = field(default_factory=list)

    @property
    def made(self) -> int:
        """Changes whose wanted replicas were reached."""
        return len(self.scale_seconds) + len(self.template_seconds)

    def note(self, change: Change, seconds: float) -> None:
        """One change whose wanted replicas were reached."""
        of = self.template_seconds if isinstance(change, NewTemplate) else self.scale_seconds
        of.append(seconds)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the watchers saw of a run."""

    records: list[Record]
    deletions: list[Deletion]
    waited_for: set[str]
    """Uids of the pods that were deleted after a wait for their jobs."""
    violations: list[Violation]
    given_up: list[str]
    refusals: list[str]
    """What users were told instead of yes; a fleet may be full, or have nobody at the moment."""


async def run(product: Product, chosen: Sequence[Fleet], count: int) -> Outcome:
    """Change each fleet so many times, all fleets at once, and judge what was seen."""
    async with watched(product) as scene, AsyncExitStack() as stack:
        began = time.time()
        await asyncio.gather(*(scene.create(each.manifest(product.redis)) for each in chosen))
        for each in chosen:
            await scene.until_wanted(each.name, START, 0, REACHED_SECONDS)
        records, crowds = [], []
        for each in chosen:
            chance = random.Random(f"{SEED}/{each.name}/users")
            users = await each.users(scene, chance)
            crowd = Crowd(each.name, users, scene.pods, scene.logs, chance)
            crowds.append(await stack.enter_async_context(crowd))
            records.append(Record(each))
        lasts = await asyncio.gather(
            *(
                change_one(scene, record, crowd, count)
                for record, crowd in zip(records, crowds, strict=True)
            )
        )
        await stack.aclose()
        for each, last in zip(chosen, lasts, strict=True):
            await scene.until_drained(each.name, last, DRAINED_SECONDS)
            await status_agrees(scene, each, last)
        scene.logs.read()
        deletions = scene.deletions(began)
        jobs = list(scene.logs.jobs)
        return Outcome(
            records,
            deletions,
            waited_for(deletions, jobs),
            judge(deletions, jobs, manifests.DRAIN_TIMEOUT_SECONDS),
            [gone for crowd in crowds for gone in crowd.given_up],
            [refusal for crowd in crowds for refusal in crowd.users.refusals],
        )


async def change_one(scene: Scene, record: Record, crowd: Crowd, count: int) -> int:
    """Make the changes of one fleet; the replicas that it was asked for last."""
    fleet = record.fleet
    replicas, revision = START, 0
    chance = random.Random(f"{SEED}/{fleet.name}/pauses")
    for change in changes.draw(SEED, fleet.name, count, REPLICAS, START):
        await asyncio.sleep(chance.uniform(*PAUSE_SECONDS))
        await crowd.until_half_busy(HALF_BUSY_SECONDS)
        record.busy_shares.append(crowd.busy_share)
        if isinstance(change, Scale):
            replicas = change.replicas
        else:
            revision = change.revision
        began = time.monotonic()
        await scene.change(fleet.kind, fleet.name, change)
        await scene.until_wanted(fleet.name, replicas, revision, REACHED_SECONDS)
        record.note(change, time.monotonic() - began)
    return replicas


async def status_agrees(scene: Scene, fleet: Fleet, replicas: int) -> None:
    """Mediafleet says of the fleet what the API server does."""
    wanted = {"replicas": replicas, "readyReplicas": replicas, "draining": 0}
    await until(
        f"the status of {fleet.name} is right",
        lambda: scene.status(fleet.kind, fleet.name),
        lambda status: {key: status.get(key) for key in wanted} == wanted,
        seconds=10,
    )


def report(outcome: Outcome) -> list[Table | str]:
    """A table for people, and what was wrong."""
    table = Table(title=f"seed {SEED}: changes while half the pods are busy")
    for name in ("fleet", "changes", "busy", "drained", "waited for", "violations"):
        table.add_column(name, justify="left" if name == "fleet" else "right")
    for name in ("scale p50", "p99", "template p50", "p99"):
        table.add_column(name, justify="right")
    for record in outcome.records:
        mine = [each for each in outcome.deletions if each.fleet == record.fleet.name]
        drained = sum(each.drain_started is not None for each in mine)
        bad = [each for each in outcome.violations if each.pod.startswith(f"{record.fleet.name}-")]
        shares = record.busy_shares
        table.add_row(
            record.fleet.name,
            str(record.made),
            f"{sum(shares) / len(shares):.0%}",
            str(drained),
            str(sum(each.pod_uid in outcome.waited_for for each in mine)),
            str(len(bad)),
            *(
                f"{quantile(seconds, share) or 0:.1f} s"
                for seconds in (record.scale_seconds, record.template_seconds)
                for share in (0.5, 0.99)
            ),
        )
    words = Counter(refusal.rpartition(": ")[2][:60] for refusal in outcome.refusals)
    refused = f"{len(outcome.refusals)} jobs refused; most often: {words.most_common(3)}"
    return [table, refused, *map(str, (*outcome.violations, *outcome.given_up))]


@pytest.fixture
def product(node: Node, workspace: Workspace) -> Iterator[Product]:
    with deployed(node, workspace, LITTLE_CPU) as product:
        yield product


async def test_no_busy_pod_is_deleted_however_five_fleets_are_changed(
    product: Product, show: Show
) -> None:
    outcome = await run(product, FLEETS, CHANGES)
    show(*report(outcome))
    assert outcome.violations == []
    assert outcome.given_up == []
    for record in outcome.records:
        assert record.made == CHANGES
        assert sum(record.busy_shares) / CHANGES >= 0.4
    drained = [each for each in outcome.deletions if each.drain_started is not None]
    assert len(drained) >= CHANGES * len(FLEETS) / 2
    # Else nothing was proved: idle pods leave first, and could all have been idle.
    assert len(outcome.waited_for) >= CHANGES / 2


def mutated(module: str) -> Values:
    """Values by which the operator imports a module of ours before it starts: no product code."""
    where = {"name": "mutant", "mountPath": "/mutant", "readOnly": True}
    return {
        "operator": {
            "extraEnv": [{"name": "PYTHONPATH", "value": "/mutant"}],
            "extraVolumes": [{"name": "mutant", "configMap": {"name": module}}],
            "extraVolumeMounts": [where],
        }
    }


@pytest.fixture
def mutant(node: Node, workspace: Workspace) -> Iterator[Product]:
    source = Path(__file__).parent / "mutants" / "skips_the_wait.py"
    workspace.kubectl(
        *("create", "configmap", "skips-the-wait"),
        # Python imports a module of this name by itself when it starts.
        f"--from-file=sitecustomize.py={source}",
    )
    with deployed(node, workspace, mutated("skips-the-wait")) as product:
        yield product


async def test_an_engine_that_skips_the_wait_is_found_out(mutant: Product) -> None:
    outcome = await run(mutant, MUTANT_FLEETS, MUTANT_CHANGES)
    faults = {violation.fault for violation in outcome.violations}
    assert Fault.BUSY in faults
