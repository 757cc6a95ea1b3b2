"""Serve the scaler beside a desk, and `GET /demand` on the desk's HTTP port."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client import REGISTRY, CollectorRegistry

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.reports.demand import Demand
from mediafleet_common.serving.access import narrowed, scope_of
from mediafleet_common.serving.run import CannotStartError
from mediafleet_common.serving.tls import FilePair
from mediafleet_scheduler.scaler.certificate import ShownCertificate
from mediafleet_scheduler.scaler.metrics import ScalerMetrics
from mediafleet_scheduler.scaler.outlook import Outlook

if TYPE_CHECKING:
    import grpc

    from mediafleet_common.serving.grpc_server import GrpcServer

_STREAMS: Final = 20_000
"""KEDA holds two for each ScaledObject, all on one connection."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ScalerOptions:
    """How the scaler is served."""

    listen: str
    """HOST:PORT."""
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    """Authority of the clients' certificates. Without these three: plaintext, which the user must
    have chosen."""

    @property
    def secure(self) -> bool:
        """Whether it takes mutual TLS only."""
        return self.certificate is not None

    def credentials(self) -> grpc.ServerCredentials | None:
        """What the server needs; replaced files count for the next handshake.

        Raises:
            CannotStartError: the files cannot be used.
        """
        if self.certificate is None or self.key is None or self.client_ca is None:
            return None

        def on_error(why: str) -> None:
            _log.error("%s; the scaler's certificate in force stays", why)

        return FilePair(self.certificate, self.key, on_error, self.client_ca).load()


def options(
    listen: str | None,
    certificate: Path | None,
    key: Path | None,
    client_ca: Path | None,
    *,
    plaintext: bool,
) -> ScalerOptions | None:
    """The options that a command line comes to; `None`: no scaler.

    Raises:
        CannotStartError: they do not go together.
    """
    files = (certificate, key, client_ca)
    if listen is None:
        if plaintext or any(files):
            raise CannotStartError("--scaler-… options need --scaler HOST:PORT")
        return None
    if plaintext == any(files) or (any(files) and not all(files)):
        raise CannotStartError(
            "--scaler needs --scaler-cert, --scaler-key and --scaler-client-ca, all three, "
            "or --scaler-plaintext"
        )
    return ScalerOptions(listen, certificate, key, client_ca)


@asynccontextmanager
async def serving(
    outlook: Outlook,
    chosen: ScalerOptions | None,
    registry: CollectorRegistry = REGISTRY,
    clock: Clock = SYSTEM,
) -> AsyncIterator[int | None]:
    """Look at the desk, and serve the scaler if that is chosen; its port.

    Raises:
        CannotStartError: its certificate cannot be used, or its address not be listened on.
    """
    looking = asyncio.create_task(outlook.run(), name="outlook")
    looking.add_done_callback(_log_failure)
    try:
        if chosen is None:
            yield None
            return
        async with _server(chosen, outlook, ScalerMetrics(registry), clock) as server:
            _log.info("KEDA scaler on port %d (%s)", server.port, _said(chosen))
            try:
                yield server.port
            finally:
                # Streams that end by themselves are opened again at once, elsewhere.
                outlook.close()
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


def _server(
    chosen: ScalerOptions, outlook: Outlook, metrics: ScalerMetrics, clock: Clock
) -> GrpcServer:
    # grpcio is 8 MB of a process: it is loaded only where a scaler is.
    from mediafleet_common.serving.grpc_server import GrpcServer, with_limits
    from mediafleet_scheduler.scaler.service import handler

    limits = with_limits(
        max_concurrent_streams=_STREAMS,
        # A stream that is cut makes KEDA wait ever longer before it opens the next one.
        max_connection_age_ms=2**31 - 1,
    )
    handlers = [handler(outlook, metrics, clock)]
    return GrpcServer(chosen.listen, handlers, chosen.credentials(), limits, _STREAMS)


def _log_failure(looking: asyncio.Task[None]) -> None:
    if not looking.cancelled() and (error := looking.exception()) is not None:
        _log.critical("the demand is not read any more", exc_info=error)


def _said(chosen: ScalerOptions) -> str:
    return "mutual TLS" if chosen.secure else "plaintext"


def history_route(outlook: Outlook) -> web.RouteDef:
    """`GET /ui/history?namespace=NS&name=NAME&after=UNIX`: JSON of
    common.reports.pages.history.DemandHistory, what is newer than `after`; with `range=day` the
    most of each ten minutes of a day."""

    @narrowed
    async def history(request: web.Request) -> web.Response:
        try:
            after = float(request.query.get("after", "0"))
        except ValueError:
            return web.Response(status=400, text="after: a Unix time")
        key = (request.query.get("namespace", ""), request.query.get("name", ""))
        day = request.query.get("range") == "day"
        found = outlook.history.of(key, after, day=day) if scope_of(request).sees(key[0]) else None
        if found is None:
            return web.Response(status=404, text="no such fleet")
        return web.Response(text=found.model_dump_json(), content_type="application/json")

    return web.get("/ui/history", history)


def demand_route(outlook: Outlook, scaler: ScalerOptions | None = None) -> web.RouteDef:
    """`GET /demand`: the demand of the desk's fleets, and which certificate its scaler shows, as
    JSON of common.reports.demand.Demand."""
    shown = ShownCertificate(scaler.certificate if scaler else None)

    @narrowed
    async def demand(request: web.Request) -> web.Response:
        if not outlook.known:
            return web.Response(status=503, text="the fleets are not known yet")
        sees = scope_of(request).sees
        seen = [each for each in outlook.demand().fleets if sees(each.namespace)]
        body = Demand(fleets=seen, certificate=shown.word()).model_dump_json()
        return web.Response(text=body, content_type="application/json")

    return web.get("/demand", demand)
