"""aiModels.json of an orchestrator that uses the broker as an external runner.

Fields: livepeer/go-livepeer core/ai.go (AIModelConfig). `url` alone makes a runner external; an
orchestrator reads capacity and warmth here and nowhere else, once, at its start.
"""

from __future__ import annotations

from urllib.parse import quote

from mediafleet_scheduler.broker.models import ModelsFile


def rendered(
    models: ModelsFile, url: str, capacity: int, token: str | None
) -> list[dict[str, object]]:
    """One entry a model, each with a URL of its own, so that /version speaks of that model."""
    base = url.rstrip("/")
    return [
        {
            "pipeline": entry.pipeline.value,
            "model_id": entry.model,
            "url": f"{base}/runners/{entry.pipeline.value}/{quote(entry.model)}",
            "capacity": capacity,
            "warm": True,
            "price_per_unit": entry.price_per_unit,
            "pixels_per_unit": entry.pixels_per_unit,
            "currency": entry.currency,
            **({"token": token} if token else {}),
        }
        for entry in models.models
    ]
