"""What a stand-in node can do, as it tells gateways, and the AI models it was given.

Sources: livepeer/go-livepeer cmd/livepeer/starter/starter.go (which capabilities a node has),
core/ai.go (ParseAIModelConfigs), server/rpc.go (checkLiveVideoToVideoCapacity, setLiveAICapacity).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mediafleet_common.formats.bits import from_bits, to_bits
from mediafleet_common.wire.livepeer_pb2 import Capabilities
from mediafleet_scheduler.core.advertise.capabilities import PIPELINES

DEFAULT: Final = frozenset({*range(13), 14, 26})
SOFTWARE: Final = frozenset({17, *range(21, 26), *range(27, 33), 34, 36})
"""What a software transcoder says beside: seven AI pipelines, of which it names no model."""
LIVE: Final = "live-video-to-video"


@dataclass(frozen=True, slots=True)
class AiModel:
    """An entry of -aiModels."""

    pipeline: str
    model: str
    warm: bool = False
    capacity: int = 1
    url: str = ""
    """Of an external runner; empty: a container that the node's Docker manager runs."""


def ai_models(given: str) -> tuple[AiModel, ...]:
    """The models of -aiModels: a JSON file, or PIPELINE:MODEL:WARM by comma.

    Raises:
        ValueError: it is neither.
    """
    if not given:
        return ()
    path = Path(given)
    if path.is_file():
        return tuple(
            AiModel(
                each["pipeline"],
                each["model_id"],
                bool(each.get("warm")),
                int(each.get("capacity") or 1),
                each.get("url") or "",
            )
            for each in json.loads(path.read_text(encoding="utf-8"))
        )
    found = [text.split(":") for text in given.split(",")]
    if any(len(parts) < 3 for parts in found):
        raise ValueError("invalid AI model config expected <pipeline>:<model_id>:<warm>")
    return tuple(AiModel(parts[0], parts[1], parts[2] == "true") for parts in found)


def told(models: Sequence[AiModel], live: Mapping[str, int], *, transcoder: bool) -> Capabilities:
    """What a node tells; `live` has the sessions of its live models."""
    numbers = DEFAULT | (SOFTWARE if transcoder else frozenset())
    said = Capabilities()
    for each in models:
        number = PIPELINES[each.pipeline]
        numbers |= {number}
        model = said.constraints.per_capability[number].models[each.model]
        model.warm = each.warm
        model.capacity += each.capacity
        if each.pipeline == LIVE:
            model.capacity_in_use = live.get(each.model, 0)
            model.capacity -= model.capacity_in_use
    said.bitstring.extend(to_bits(numbers))
    return said


def capped(asked: Capabilities, models: Sequence[AiModel], live: Mapping[str, int]) -> bool:
    """Whether it answers OrchestratorCapped: it has none free of any live model that is asked for.

    Of other pipelines it does not look.
    """
    number = PIPELINES[LIVE]
    if number not in asked.constraints.per_capability:
        return False
    free = {
        each.model: each.capacity - live.get(each.model, 0)
        for each in models
        if each.pipeline == LIVE
    }
    wanted = asked.constraints.per_capability[number].models
    return not any(free.get(name, 0) > 0 for name in wanted)


def asking(pipeline: str, model: str) -> Capabilities:
    """What a gateway asks for that has an AI job (server/ai_session.go, getSessions)."""
    number = PIPELINES[pipeline]
    said = Capabilities(bitstring=to_bits(DEFAULT | {number}))
    said.constraints.per_capability[number].models[model].SetInParent()
    return said


def compatible(asked: Capabilities, can: Capabilities | None) -> bool:
    """Whether discovery takes a node: it has the bits, and where it names models, the model.

    core/capabilities.go, CompatibleWith; versions are not looked at.
    """
    if can is None:
        return False
    if not from_bits(asked.bitstring) <= from_bits(can.bitstring):
        return False
    named = can.constraints.per_capability
    return all(
        number not in named or set(each.models) <= set(named[number].models)
        for number, each in asked.constraints.per_capability.items()
    )


def selected(asked: Capabilities, can: Capabilities) -> bool:
    """Whether selection takes it after that: it names the model (server/ai_session.go, Refresh)."""
    named = can.constraints.per_capability
    return all(
        number in named and set(each.models) <= set(named[number].models)
        for number, each in asked.constraints.per_capability.items()
    )
