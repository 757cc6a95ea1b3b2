"""The broker's live runners, as `GET /discovery` of an orchestrator lists its own.

Shape: livepeer/go-livepeer server/ai_http.go (DiscoverLiveRunners). Without a token, as there: it
holds what gateways are told in any case. `caps` is the advertisers' word for their list
(`GET /orchestrators`), and means the same here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from urllib.parse import quote

from mediafleet_scheduler.broker.models import ModelEntry
from mediafleet_scheduler.core.workers.dispatch import Dispatcher
from mediafleet_scheduler.core.workers.views import Target


def discovery(
    url: str, models: Iterable[ModelEntry], dispatcher: Dispatcher, caps: Collection[str] = ()
) -> list[dict[str, object]]:
    """One entry with the models that are live runners and have a worker now.

    `caps`: PIPELINE or PIPELINE/MODEL each. Only runners of these; nothing at all where one of them
    has none.
    """
    runners = []
    lacking = set(caps)
    for entry in models:
        capacity = dispatcher.capacity(entry.target)
        if entry.live_runner is None or capacity <= 0:
            continue
        if caps and not _names(entry.target) & {*caps}:
            continue
        lacking -= _names(entry.target)
        used = min(dispatcher.in_use(entry.target), capacity)
        pipeline, model = entry.target
        price = entry.live_runner
        runners.append(
            {
                "url": f"{url}/runners/{pipeline}/{quote(model)}",
                "app": str(entry.target),
                "mode": "single-shot",
                "capacity": capacity,
                "capacity_used": used,
                "capacity_available": capacity - used,
                "price_info": {"price": price.price, "currency": "usd", "unit": price.unit.value},
            }
        )
    if lacking:
        return []
    return [{"address": url, **({"runners": runners} if runners else {})}]


def _names(target: Target) -> set[str]:
    return {target.pipeline.value, str(target)}
