"""The view that a desk has of fleets and pods."""

from __future__ import annotations

from collections.abc import Iterable

from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.directory.fleets.views import FleetViews
from mediafleet_scheduler.directory.objects import NO_BOUNDS, Bounds, FleetFacts, PodFacts


def egress_view(
    fleets: Iterable[FleetFacts], pods: Iterable[PodFacts], bounds: Bounds = NO_BOUNDS
) -> EgressView:
    """Of all there is."""
    views = FleetViews(bounds)
    namespaces = {views.put_fleet(each.uid, each) for each in fleets}
    namespaces |= {views.put_pod(each.uid, each) for each in pods}
    for namespace in namespaces - {None}:
        while views.make_one(str(namespace)):
            pass
    assert views.unmade == {}
    return views.view()
