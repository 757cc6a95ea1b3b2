"""A watch by kopf of what there are few of."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from typing import Any, Final

import kopf

from mediafleet_common.kube.client import Json
from mediafleet_common.kube.login import Login, connection
from mediafleet_common.kube.paths import Collection

_CHUNK: Final = 500
_CHATTY: Final = (
    "kopf._cogs.clients",
    "kopf._core.reactor.observation",
    "kopf._core.reactor.running",
    "kopf.activities",
)


class _Patience:
    """Pauses between attempts of kopf, without end. When they are used up kopf stops watching for
    good, and an API server that has just been started answers 503 for seconds."""

    def __iter__(self) -> Iterator[float]:
        return chain((0.1, 0.3, 0.5), repeat(1.0))


def silence() -> None:
    """kopf logs an error for each failed attempt; we log once that the server is away."""
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.CRITICAL)


async def watch(
    collections: Sequence[Collection],
    namespaces: Sequence[str],
    login: Login,
    stop: asyncio.Event,
    seen: Callable[[Collection, Json, bool], None],
    began: Callable[[], None],
) -> None:
    """Watch until `stop`: `seen` gets each object with whether it was deleted.

    `began` is called for each object that a watch begins with: at the start, and after a break, in
    which objects may have been deleted unseen.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def _login(**_: Any) -> kopf.ConnectionInfo:
        return await connection(await login())

    for collection in collections:
        _follow(registry, collection, seen, began)
    await kopf.operator(
        registry=registry,
        settings=_settings(collections),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        stop_flag=stop,
    )


def _follow(
    registry: kopf.OperatorRegistry,
    collection: Collection,
    seen: Callable[[Collection, Json, bool], None],
    began: Callable[[], None],
) -> None:
    @kopf.on.event(collection.group, collection.version, collection.plural, registry=registry)
    async def _event(event: kopf.RawEvent, **_: Any) -> None:
        if event["type"] is None:
            # kopf gives the first list of a watch as events without a type.
            began()
        raw: Any = event["object"]
        seen(collection, raw, event["type"] == "DELETED")


def _settings(collections: Sequence[Collection]) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.process.ultimate_exiting_timeout = None
    settings.networking.connect_timeout = 5.0
    settings.networking.request_timeout = 30.0
    settings.networking.error_backoffs = _Patience()
    settings.watching.chunk_size = _CHUNK
    # kopf has a task for each object until it was quiet for so long; ours keep nothing.
    settings.queueing.idle_timeout = 0.1
    for collection in collections:
        if collection.label_selector:
            settings.watching.label_selectors[collection.plural] = collection.label_selector
    return settings
