"""How much a task asked for, in the units of its pipeline, by its request alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from mediafleet_scheduler.core.workers.pipelines import Pipeline

SAYING: Final = frozenset(
    {Pipeline.TEXT_TO_IMAGE, Pipeline.LLM, Pipeline.TEXT_TO_SPEECH, Pipeline.AUDIO_TO_TEXT}
)
"""Pipelines whose requests say how much they ask for."""
_SIDE: Final = 1024
"""Of a picture whose request names no width or height: ai-runner's own."""
_MOST_METADATA: Final = 4096
"""Characters of what a gateway writes beside a file; a longer text is none of its."""
_MOST: Final = 10**9
"""No request counts for more: it is the caller who writes it."""


def units(pipeline: Pipeline, request: Mapping[str, Any]) -> int | None:
    """Pixels of text-to-image, tokens at most of an LLM, characters of text-to-speech, whole
    seconds of audio-to-text; `None`: the request of this pipeline, or this one, does not say."""
    if pipeline is Pipeline.TEXT_TO_IMAGE:
        sides = [_number(request.get(name), _SIDE) for name in ("width", "height")]
        count = _number(request.get("num_images_per_prompt"), 1)
        return min(sides[0] * sides[1] * count, _MOST)
    if pipeline is Pipeline.LLM:
        asked = _number(request.get("max_tokens"), 0)
        return min(asked, _MOST) or None
    if pipeline is Pipeline.TEXT_TO_SPEECH:
        text = request.get("text")
        return len(text) if isinstance(text, str) else None
    if pipeline is Pipeline.AUDIO_TO_TEXT:
        return _duration(request.get("metadata")) or None
    return None


def _duration(metadata: object) -> int:
    """Seconds of audio, as gateways write them beside the file: `{"duration": "12"}`, in a text of
    its own (livepeer/go-livepeer server/ai_process.go). 0: it is not told."""
    if not isinstance(metadata, str) or len(metadata) > _MOST_METADATA:
        return 0
    try:
        told = json.loads(metadata)
    except (ValueError, RecursionError):
        return 0
    return min(_number(told.get("duration"), 0), _MOST) if isinstance(told, dict) else 0


def _number(value: object, default: int) -> int:
    """Forms bring numbers as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value) or default
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    return default
