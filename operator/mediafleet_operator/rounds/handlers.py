"""Watches, by kopf: each event is handed on, nothing is decided here.

Only `on.event` is used: kopf's other handlers keep their own finalizers and annotations on
objects.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from datetime import UTC, datetime, timedelta
from typing import Final

import kopf
from kubernetes.aio.client import Configuration

from mediafleet_common.api.names import GROUP, PLURALS, VERSION, Kind, Label
from mediafleet_operator.rounds import metrics
from mediafleet_operator.rounds.watch import RELIST_SECONDS, Listener

_log: Final = logging.getLogger(__name__)
RECLAIM_SECONDS: Final = 0.5
TOKEN_SECONDS: Final = 300.0
"""So often kopf asks for credentials again: a service account's token is rotated."""


def registry(
    listener: Listener, configuration: Configuration, stop: asyncio.Event
) -> kopf.OperatorRegistry:
    """The handlers: each hands its event on, and decides nothing."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(**_: object) -> kopf.ConnectionInfo:
        # When it starts, kopf takes the signals for itself, at about this time.
        asyncio.get_running_loop().call_later(RECLAIM_SECONDS, reclaim_signals, stop)
        return await connection(configuration)

    @kopf.on.event(GROUP, VERSION, PLURALS[Kind.EGRESS_FLEET], registry=handlers)
    async def egress_fleet(type: str | None, body: kopf.Body, **_: object) -> None:  # noqa: A002
        listener.on_fleet(Kind.EGRESS_FLEET, type, body)

    @kopf.on.event(GROUP, VERSION, PLURALS[Kind.ORCHESTRATOR_POOL], registry=handlers)
    async def orchestrator_pool(type: str | None, body: kopf.Body, **_: object) -> None:  # noqa: A002
        listener.on_fleet(Kind.ORCHESTRATOR_POOL, type, body)

    @kopf.on.event("v1", "pods", registry=handlers)
    async def pod(type: str | None, body: kopf.Body, **_: object) -> None:  # noqa: A002
        listener.on_pod(type, body)

    @kopf.on.event("v1", "services", registry=handlers)
    async def service(type: str | None, body: kopf.Body, **_: object) -> None:  # noqa: A002
        listener.on_service(type, body)

    if listener.snapshots.nodes_known:

        @kopf.on.event("v1", "nodes", registry=handlers)
        async def node(type: str | None, body: kopf.Body, **_: object) -> None:  # noqa: A002
            listener.on_node(type, body)

    return handlers


def settings() -> kopf.OperatorSettings:
    """kopf's settings: only what differs from its defaults."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    # Which resources and namespaces there are is known: no watching of all CRDs.
    chosen.scanning.disabled = True
    chosen.watching.label_selectors["pods"] = Label.KIND.value
    chosen.watching.label_selectors["services"] = Label.SLOT.value
    chosen.watching.chunk_size = 500
    chosen.watching.connect_timeout = 10.0
    chosen.networking.request_timeout = 30.0
    chosen.networking.connect_timeout = 10.0
    chosen.process.ultimate_exiting_timeout = None
    # A worker of kopf's lives as long as its object is quiet for; ours has nothing to keep.
    chosen.queueing.idle_timeout = 0.1
    return chosen


async def connection(configuration: Configuration) -> kopf.ConnectionInfo:
    """What kopf needs to reach the API server that our own calls go to."""
    token = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        scheme="Bearer" if token else None,
        token=token.split(" ", 1)[-1] if token else None,
        expiration=datetime.now(UTC) + timedelta(seconds=TOKEN_SECONDS) if token else None,
    )


async def follow(listener: Listener, configuration: Configuration, stop: asyncio.Event) -> None:
    """Run kopf until `stop`; should it give up, list everything and start it anew."""
    while not stop.is_set():
        try:
            await kopf.operator(
                registry=registry(listener, configuration, stop),
                settings=settings(),
                standalone=True,
                clusterwide=not listener.namespaces,
                namespaces=listener.namespaces,
                stop_flag=asyncio.Event(),
            )
        except Exception as error:  # noqa: BLE001 -- whatever it was, it is started anew
            _log.exception("the watches ended")
            metrics.reconcile_errors.labels("all", type(error).__name__).inc()
            await asyncio.sleep(RELIST_SECONDS)
            listener.list_soon()
        else:
            # A signal reached kopf before we had them back.
            stop.set()


def reclaim_signals(stop: asyncio.Event) -> None:
    """The first SIGTERM or SIGINT sets `stop`, a second one ends the process at once."""

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
