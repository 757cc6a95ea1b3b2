"""What an orchestrator can do, and whether that is what a gateway wants.

Numbers and rules: livepeer/go-livepeer core/capabilities.go. A capability is a bit; AI pipelines
also name models. Not looked at: what an orchestrator demands of the gateway (`mandatories`) and
the versions of runners, since they depend on the gateway's own build.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mediafleet_common.wire.livepeer_pb2 import Capabilities as Message

PIPELINES: Final = {
    "text-to-image": 27,
    "image-to-image": 28,
    "image-to-video": 29,
    "upscale": 30,
    "audio-to-text": 31,
    "segment-anything-2": 32,
    "llm": 33,
    "image-to-text": 34,
    "live-video-to-video": 35,
    "text-to-speech": 36,
    "byoc": 37,
}
_NAMES: Final = {number: name for name, number in PIPELINES.items()}
_WORDS: Final = 4
"""Words of a bitstring that are read; upstream is at 38 bits."""
_LEGACY: Final = frozenset(range(12))
"""What orchestrators could do before they told what they can."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions in use and at most, as an orchestrator tells for its AI models."""

    in_use: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an orchestrator said it can do."""

    numbers: frozenset[int]
    models: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """By capability."""
    sessions: Mapping[tuple[int, str], Sessions] = field(default_factory=dict, compare=False)
    """By capability and model, of those that told a capacity. It moves with every session;
    what a node can do does not."""

    def total(self, wanted: Sequence[Wanted] = ()) -> Sessions | None:
        """Sessions of what is wanted, or of everything; `None`: it told no capacity of that."""
        told = [
            sessions
            for (number, model), sessions in self.sessions.items()
            if not wanted or any(each.covers(number, model) for each in wanted)
        ]
        if not told:
            return None
        return Sessions(sum(each.in_use for each in told), sum(each.capacity for each in told))


def read(message: bytes) -> Capabilities:
    """What a serialised Capabilities message tells.

    Raises:
        google.protobuf.message.DecodeError: it is none.
    """
    said = Message.FromString(message)
    per_capability = said.constraints.per_capability
    models = {number: frozenset(each.models) for number, each in per_capability.items()}
    sessions = {
        (number, name): Sessions(model.capacity_in_use, model.capacity)
        for number, each in per_capability.items()
        for name, model in each.models.items()
        if model.capacity
    }
    return Capabilities(from_bits(said.bitstring), models, sessions)


class UnknownCapabilityError(ValueError):
    """Neither a number nor a pipeline that we know."""


@dataclass(frozen=True, slots=True, order=True)
class Wanted:
    """A capability, perhaps with a model."""

    number: int
    model: str = ""
    """Empty: whatever the model."""

    def __str__(self) -> str:
        name = _NAMES.get(self.number, str(self.number))
        return name if not self.model else f"{name}/{self.model}"

    def covers(self, number: int, model: str) -> bool:
        """Whether it is about this capability and model."""
        return self.number == number and self.model in ("", model)

    def met_by(self, offered: Capabilities | None) -> bool:
        """Whether an orchestrator has it; one that told nothing has what all have always had."""
        if offered is None:
            return self.number in _LEGACY and not self.model
        if self.number not in offered.numbers:
            return False
        return not self.model or self.model in offered.models.get(self.number, frozenset())


def wanted(text: str) -> Wanted:
    """`PIPELINE`, `PIPELINE/MODEL`, or a number in place of the pipeline.

    Raises:
        UnknownCapabilityError: with what would do.
    """
    name, _, model = text.partition("/")
    number = PIPELINES.get(name)
    if number is None and name.isascii() and name.isdigit() and len(name) < 4:
        number = int(name)
    if number is None:
        known = ", ".join(PIPELINES)
        raise UnknownCapabilityError(f"{text!r}: give a number or one of {known}")
    return Wanted(number, model)


def from_bits(words: Sequence[int]) -> frozenset[int]:
    """The numbers of the bits set, from words of 64 bits, lowest first."""
    return frozenset(
        64 * index + bit
        for index, word in enumerate(words[:_WORDS])
        for bit in range(64)
        if word >> bit & 1
    )


def to_bits(numbers: frozenset[int]) -> list[int]:
    """The words of 64 bits with these bits set."""
    words = [0] * (max(numbers) // 64 + 1) if numbers else []
    for number in numbers:
        words[number // 64] |= 1 << number % 64
    return words
