"""One Redis that fleets spell differently: one branch serves them all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from prometheus_client import CollectorRegistry
from tests.kit.egress.scene import QUICK, eventually, fleet

from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.redises.endpoints import RedisEndpoint, Redises
from mediafleet_scheduler.core.egress.views import EgressView, Fleet
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.connections.opening import access_to_declared
from mediafleet_scheduler.egress.process.branches import Branches
from mediafleet_scheduler.egress.process.kept_out import ReportRedis, report_nothing
from mediafleet_scheduler.egress.process.serve import Options
from mediafleet_testbed.real_servers import RedisServer, redis_server

# The first word over the second connection may be late on a slow machine: then the next tells.
OFTEN = replace(QUICK, echo_every_seconds=0.2, echo_wait_seconds=0.1, first_look_seconds=0.1)
WAIT_SECONDS = 60.0


def on(name: str, spec: RedisSpec, namespace: str = "live") -> Fleet:
    return replace(fleet(name=name), namespace=namespace, redis=spec)


def spelled(server: RedisServer, host: str) -> RedisSpec:
    return RedisSpec(address=f"{host}:{server.port}")


@asynccontextmanager
async def desk(
    redises: Redises | None = None, report: ReportRedis = report_nothing
) -> AsyncIterator[Branches]:
    declared = redises or Redises()
    access = access_to_declared(declared.endpoints, None)
    options = Options("127.0.0.1:0", redises=declared, declared=access, settings=OFTEN)
    branches = Branches(
        options.connections,
        EgressMetrics(CollectorRegistry()),
        OFTEN,
        may_use=options.may_use,
        report=report,
    )
    async with branches:
        yield branches


def served(branches: Branches) -> list[list[str]]:
    """Names of the fleets of each branch that is open."""
    views = [each.fleets.view for each in branches.all if each.service is not None]
    return sorted([each.name for each in view.fleets] for view in views if view is not None)


async def test_two_spellings_of_one_server_make_one_branch_and_another_server_its_own(
    redis_process: RedisServer,
) -> None:
    with redis_server() as other:
        one, same = (spelled(redis_process, host) for host in ("127.0.0.1", "localhost"))
        fleets = [on("a", one), on("b", same), on("c", spelled(other, "127.0.0.1"))]
        async with desk() as branches:
            branches.follow(EgressView(tuple(fleets)))
            await eventually(lambda: served(branches) == [["a", "b"], ["c"]], WAIT_SECONDS)
            branches.follow(EgressView((fleets[1], fleets[2])))
            await eventually(lambda: served(branches) == [["b"], ["c"]], WAIT_SECONDS)
            branches.follow(EgressView(tuple(fleets)))
            await eventually(lambda: served(branches) == [["a", "b"], ["c"]], WAIT_SECONDS)


async def test_what_is_declared_serves_and_keeps_out_whom_it_is_not_for(
    redis_process: RedisServer,
) -> None:
    endpoint = RedisEndpoint(
        name="main", addresses=[f"localhost:{redis_process.port}"], namespaces=["live"]
    )
    written = spelled(redis_process, "127.0.0.1")
    fleets = [
        on("by-address", written),
        on("by-name", endpoint.spec(RedisSpec())),
        on("evil", written, "evil"),
    ]
    told: list[tuple[str, bool]] = []

    async def report(of: Fleet, allowed: bool) -> None:
        told.append((of.key, allowed))

    async with desk(Redises((endpoint,)), report) as branches:
        branches.follow(EgressView((fleets[0], fleets[2])))
        await eventually(lambda: served(branches) == [["evil", "by-address"]], WAIT_SECONDS)
        branches.follow(EgressView(tuple(fleets)))
        await eventually(lambda: served(branches) == [["by-address", "by-name"]], WAIT_SECONDS)
        (host,) = branches.all
        assert host.spec == fleets[1].redis
        assert told == [("evil/evil", False)], "condition RedisNotAllowed, once"
        with redis_server() as own:
            said = replace(fleets[2], redis=spelled(own, "127.0.0.1"), kept_out=True)
            branches.follow(EgressView((*fleets[:2], said)))
            await eventually(lambda: told[1:] == [("evil/evil", True)], WAIT_SECONDS)
