"""What an advertiser reports of its pool: the demand, and each node with why it is not listed."""

from __future__ import annotations

from aiohttp import web

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_common.reports.finding import MAX_MESSAGE_CHARACTERS
from mediafleet_common.reports.nodes import NodeReport, PoolNodes
from mediafleet_common.reports.pages.nodes import ConditionShown, NodesPage
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.advertise.conditions import HasConditions
from mediafleet_scheduler.advertise.served_list import ServedList
from mediafleet_scheduler.core.advertise.demand import demand_of
from mediafleet_scheduler.core.advertise.listing import LeftOut, node_key
from mediafleet_scheduler.core.advertise.ordering import UNKNOWN
from mediafleet_scheduler.core.advertise.views import Node


def demand(served_list: ServedList, clock: Clock = SYSTEM) -> list[FleetDemand] | None:
    """The demand of the pool; `None`: it is not known yet."""
    if served_list.view is None:
        return None
    return [demand_of(served_list.view, served_list.rooms, clock.unix())]


def page_text(served_list: ServedList, conditions: HasConditions) -> bytes | None:
    """What the page shows, as JSON of common.reports.pages.nodes.NodesPage; `None`: unknown."""
    pool = pool_nodes(served_list)
    if pool is None:
        return None
    shown = [
        ConditionShown(
            type=name.value,
            status=each.status,
            reason=each.reason.value,
            message=printable(each.message, MAX_MESSAGE_CHARACTERS),
        )
        for name, each in conditions.now().items()
    ]
    return NodesPage(pool=pool, conditions=shown).model_dump_json(by_alias=False).encode()


def nodes_route(served_list: ServedList) -> web.RouteDef:
    """`GET /nodes`: JSON of common.reports.nodes.PoolNodes."""

    async def nodes(_: web.Request) -> web.Response:
        report = pool_nodes(served_list)
        if report is None:
            return web.Response(status=503, text="the list of nodes is not known yet")
        return web.Response(text=report.model_dump_json(), content_type="application/json")

    return web.get("/nodes", nodes)


def pool_nodes(served_list: ServedList) -> PoolNodes | None:
    """The nodes of the pool, those listed first; `None`: they are not known yet."""
    view, notice = served_list.view, served_list.notice
    if view is None or notice is None:
        return None
    full = served_list.full

    def report_of(node: Node, reason: LeftOut | None) -> NodeReport:
        room = served_list.rooms.get(node_key(node), UNKNOWN)
        return NodeReport(
            name=node.name,
            url=node.url,
            state=node.state,
            source=node.source,
            region=node.region,
            sessions=room.sessions,
            capacity=room.capacity,
            full=node_key(node) in full,
            why_not=None if reason is None else reason.value,
            detail=served_list.detail(node, reason),
        )

    return PoolNodes(
        namespace=view.namespace,
        name=view.name,
        nodes=[
            *(report_of(node, None) for node in notice.listing.nodes),
            *(report_of(node, reason) for node, reason in notice.listing.left_out),
        ],
    )
