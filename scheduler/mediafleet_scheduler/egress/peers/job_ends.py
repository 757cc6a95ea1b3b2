"""Hear of the ends of jobs: pods tell livekit-server over the bus, and the desk listens in.

The desk only listens: it never claims these requests. Source: livekit/egress pkg/info/io.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from google.protobuf.message import DecodeError

from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.egress.ledger.writer import LedgerWriter
from mediafleet_scheduler.egress.peers import answers
from mediafleet_scheduler.psrpc import channels
from mediafleet_scheduler.psrpc.bus import Bus
from mediafleet_scheduler.psrpc.client import OnBadMessage
from mediafleet_scheduler.psrpc.envelope import Request, decode
from mediafleet_scheduler.psrpc.errors import BadMessage, BadMessageError

UPDATES: Final = channels.request("IOInfo", "UpdateEgress")


class JobEnds:
    """Takes jobs out of the ledger when their pods say that they are over; calls `on_end` then."""

    def __init__(
        self,
        ledger: Ledger,
        ledger_writer: LedgerWriter,
        on_end: Callable[[], None],
        on_bad_message: OnBadMessage,
    ) -> None:
        self._ledger = ledger
        self._ledger_writer = ledger_writer
        self._on_end = on_end
        self._on_bad_message = on_bad_message

    async def listen(self, bus: Bus) -> None:
        """Listen from now on."""
        await bus.subscribe(UPDATES, self._take)

    def _take(self, data: bytes) -> None:
        try:
            egress_id = answers.ended_id(decode(data, Request).payload)
        except BadMessageError as error:
            self._on_bad_message(UPDATES, error)
            return
        except DecodeError:
            self._on_bad_message(UPDATES, BadMessageError(BadMessage.NOT_PROTOBUF, "EgressInfo"))
            return
        if egress_id is None:
            return
        if self._ledger.drop(egress_id) is not None:
            self._ledger_writer.metrics.ends.labels("heard").inc()
        # Also one that is not known here: another desk may have claimed it a moment ago.
        self._ledger_writer.note(self._ledger_writer.store.ended(egress_id))
        self._on_end()
