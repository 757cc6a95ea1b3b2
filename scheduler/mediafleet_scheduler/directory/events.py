"""Posts Events about fleets to Kubernetes; losing one is no harm."""

from __future__ import annotations

import logging
import os
import socket
from typing import Final

from mediafleet_common.api.events import EventToPost, Regarding, Reporter
from mediafleet_common.api.names import Kind
from mediafleet_common.kube import events
from mediafleet_common.kube.client import Connect, connect
from mediafleet_common.kube.errors import KubeError
from mediafleet_scheduler.core.egress.views import Fleet

_log: Final = logging.getLogger(__name__)


async def post(fleet: Fleet, to_post: EventToPost, connect: Connect = connect) -> None:
    """Post one Event about a fleet, or log why not."""
    regarding = Regarding(Kind.EGRESS_FLEET, fleet.namespace, fleet.name, fleet.uid)
    reporter = Reporter("egress", os.environ.get("POD_NAME") or socket.gethostname())
    try:
        async with connect() as api:
            await events.post(api, regarding, to_post, reporter)
    except KubeError as error:
        _log.warning("Event %s of %s was not posted: %s", to_post.reason, fleet.key, error)
