"""Ask all pods at once which jobs they run.

`ListActiveEgress` is registered on the empty topic only, so one call reaches every pod; an answer
names the pod's psrpc server id, not the pod. Source: livekit/egress pkg/server/server.go.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from mediafleet_common.wire import egress_pb2 as wire
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.errors import BadMessage

LIST_ACTIVE_EGRESS: Final = "ListActiveEgress"

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ActiveList:
    """Which ids each server runs that answered."""

    by_server: Mapping[str, frozenset[str]]

    def server_of(self, egress_id: str) -> str | None:
        """The server that runs a job; `None`: none of those that answered."""
        for server_id, ids in self.by_server.items():
            if egress_id in ids:
                return server_id
        return None

    @property
    def ids(self) -> frozenset[str]:
        """All ids that run."""
        return frozenset().union(*self.by_server.values())


async def list_active(
    client: Client, pods: int, wait_seconds: float, metrics: EgressMetrics
) -> ActiveList:
    """What the pods run; returns early once so many have answered."""
    answers = await client.request_all(
        LIST_ACTIVE_EGRESS,
        wire.ListActiveEgressRequest().SerializeToString(),
        timeout_seconds=wait_seconds,
        expected=pods,
    )
    by_server: dict[str, frozenset[str]] = {}
    for answer in answers:
        if answer.error is not None:
            continue
        try:
            message = wire.ListActiveEgressResponse.FromString(answer.payload)
        except DecodeError:
            metrics.bad_messages.labels(BadMessage.NOT_PROTOBUF).inc()
            _log.warning("server %s lists its jobs in an unreadable way", answer.server_id)
            continue
        by_server[answer.server_id] = frozenset(message.egress_ids)
    return ActiveList(by_server)
