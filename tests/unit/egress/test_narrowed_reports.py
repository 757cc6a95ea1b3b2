"""Who may read of one namespace learns of no other: not its fleets, pods, demand or costs."""

from __future__ import annotations

from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web
from tests.kit.pages import desks

from mediafleet_common.api.names import Kind
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_common.serving.access import Refusal, Scope


class Tenant:
    """Lets in a tenant of namespace media."""

    def admit(self, request: web.Request) -> Refusal | Scope:
        del request
        return Scope(frozenset({"media"}))

    async def run(self) -> None:
        """There is nothing to keep."""


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/demand", 200),
        ("/explain?type=track", 200),
        ("/costs", 200),
        ("/ui/history?namespace=media&name=mine", 200),
        ("/ui/history?namespace=neighbour&name=theirs", 404),
        ("/ui/data", 403),
        ("/ui/events", 403),
    ],
)
async def test_a_tenant_reads_nothing_of_a_neighbour_from_the_egress_desk(
    path: str, status: int
) -> None:
    async with desks.egress_desk(Tenant()) as desk:
        mine = desks.fleet("mine", 2)
        desk.have(mine, replace(desks.fleet("theirs", 2), namespace="neighbour"))
        desk.demand = [
            FleetDemand(kind=Kind.EGRESS_FLEET, namespace=ns, name=name, known=True, at=1.0)
            for ns, name in (("media", "mine"), ("neighbour", "theirs"))
        ]
        desk.outlook.look()
        url = f"http://127.0.0.1:{desk.port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            said = await answer.text()
    assert answer.status == status
    assert "theirs" not in said
    assert ("mine" in said) is (path.startswith(("/demand", "/explain", "/costs")))
