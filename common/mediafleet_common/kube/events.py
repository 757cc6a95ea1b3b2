"""Posts Events of events.k8s.io/v1."""

from __future__ import annotations

import uuid
from typing import Final

from mediafleet_common.api.events import EventToPost, Regarding, Reporter, event
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.kube.client import Api
from mediafleet_common.kube.paths import Collection

_EVENTS: Final = Collection("events.k8s.io", "v1", "events")


async def post(
    api: Api, regarding: Regarding, to_post: EventToPost, reporter: Reporter, clock: Clock = SYSTEM
) -> None:
    """Post one Event.

    Raises:
        KubeError: it was not posted.
    """
    body = event(regarding, to_post, reporter, clock.unix(), uuid.uuid4().hex[:16])
    await api.create(_EVENTS.inside(regarding.namespace), body)
