"""What an ai-runner says of itself: its version, and its GPUs. Pure.

`GET /version` answers `{pipeline, model_id, version}`, `GET /hardware/info` `{pipeline, model_id,
gpu_info: {"0": {id, name, major, minor, memory_free, memory_total}}}` (livepeer/ai-runner
runner/src/runner/routes). Unknown stays unknown: an answer that is none says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mediafleet_scheduler.core.workers.choice.versions import oldest
from mediafleet_scheduler.core.workers.foreign import read_json
from mediafleet_scheduler.core.workers.views import Target

_MOST_TEXT: Final = 256
"""Characters of a name or a version."""
_MOST_GPUS: Final = 64
_MOST_32, _MOST_64 = 2**32, 2**64


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU; 0 and the empty text: not told."""

    id: str = ""
    name: str = ""
    major: int = 0
    minor: int = 0
    memory_free: int = 0
    """Bytes."""
    memory_total: int = 0
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Of one model behind one runner's URL; `None`: not told."""

    version: str | None = None
    gpus: Mapping[str, Gpu] | None = None
    """By the runner's own key."""

    def after(self, earlier: Claims) -> Claims:
        """With what was told earlier where this tells nothing."""
        return Claims(
            earlier.version if self.version is None else self.version,
            earlier.gpus if self.gpus is None else self.gpus,
        )

    def differs(self, other: Claims) -> bool:
        """Whether a broker should hear of it: memory that is free changes all the time."""
        return self.version != other.version or _names(self) != _names(other)


def version_of(target: Target, text: bytes) -> str | None:
    """The version of `/version`, where it speaks of the same pipeline and model."""
    told = _object(text)
    if (told.get("pipeline"), told.get("model_id")) != target:
        return None
    version = told.get("version")
    return version[:_MOST_TEXT] if isinstance(version, str) and version else None


def gpus_of(text: bytes) -> Mapping[str, Gpu] | None:
    """The GPUs of `/hardware/info`: of the machine, whichever of its models it speaks of."""
    told = _object(text).get("gpu_info")
    if not isinstance(told, dict):
        return None
    found = {key[:_MOST_TEXT]: _gpu(each) for key, each in told.items() if isinstance(each, dict)}
    return dict(sorted(found.items())[:_MOST_GPUS])


def least(versions: Iterable[str | None]) -> str | None:
    """What may be said of a model that several runners serve; `None`: one of them is unknown."""
    known = set(versions)
    told = {each for each in known if each is not None}
    return oldest(told) if told == known else None


def _names(claims: Claims) -> list[tuple[str, str]]:
    return sorted((each.id, each.name) for each in (claims.gpus or {}).values())


def _gpu(told: Mapping[str, Any]) -> Gpu:
    return Gpu(
        _text(told.get("id")),
        _text(told.get("name")),
        _number(told.get("major"), _MOST_32),
        _number(told.get("minor"), _MOST_32),
        _number(told.get("memory_free"), _MOST_64),
        _number(told.get("memory_total"), _MOST_64),
    )


def _object(text: bytes) -> Mapping[str, Any]:
    try:
        told = read_json(text)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _text(value: object) -> str:
    return value[:_MOST_TEXT] if isinstance(value, str) else ""


def _number(value: object, below: int) -> int:
    return value if type(value) is int and 0 <= value < below else 0
