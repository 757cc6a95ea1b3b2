"""The h2 library's state of one HTTP/2 connection, on either side."""

from __future__ import annotations

import h2.connection


class Http2State(h2.connection.H2Connection):
    """It does not grow with the connection's age, and goes with it.

    By itself h2 remembers how each of the last 65,536 streams ended: some 6 MB of a worker that has
    posted as many results, or of a node that was asked as often. And it refers to itself, so that a
    connection that is over would wait for the collector, which comes rarely to what has lived for
    long (serving/run.py).
    """

    MAX_CLOSED_STREAMS = 1024
    """Ten times what there is at a time: what comes late for one of them is told from a fault."""

    def forget(self) -> None:
        """Nothing is received any more."""
        self._frame_dispatch_table.clear()
