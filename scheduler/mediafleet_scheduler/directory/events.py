"""Posts Events about fleets to Kubernetes; losing one is no harm."""

from __future__ import annotations

import logging
import os
import socket
import uuid
from datetime import UTC, datetime
from typing import Final

import aiohttp
import kopf

from mediafleet_common.api.events import EVENTS_API, Regarding, Reporter, Telling, event
from mediafleet_common.api.names import Kind
from mediafleet_common.kube.access import login
from mediafleet_scheduler.core.egress.views import Fleet

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10, sock_connect=5)

_log: Final = logging.getLogger(__name__)


async def post(fleet: Fleet, telling: Telling) -> None:
    """Post one Event about a fleet, or say in the log why not."""
    regarding = Regarding(Kind.EGRESS_FLEET, fleet.namespace, fleet.name, fleet.uid)
    reporter = Reporter("egress", os.environ.get("POD_NAME") or socket.gethostname())
    body = event(regarding, telling, reporter, datetime.now(UTC), uuid.uuid4().hex[:16])
    path = f"/apis/{EVENTS_API}/namespaces/{fleet.namespace}/events"
    try:
        info = login(kopf.OperatorSettings())
        connector = aiohttp.TCPConnector(ssl=info.as_ssl_context())
        async with (
            aiohttp.ClientSession(
                info.server, connector=connector, headers=info.as_http_headers(), timeout=_TIMEOUT
            ) as session,
            session.post(path, json=body) as answer,
        ):
            why = "" if answer.ok else f"HTTP {answer.status}: {(await answer.text())[:200]}"
    except (TimeoutError, aiohttp.ClientError, OSError, kopf.LoginError) as error:
        why = str(error) or type(error).__name__
    if why:
        _log.warning("Event %s of %s was not posted: %s", telling.reason, fleet.key, why)
