"""What an orchestrator can do, and whether that is what a gateway wants.

Numbers and rules: livepeer/go-livepeer core/capabilities.go. A capability is a bit; AI pipelines
also name models. Not looked at: what an orchestrator demands of the gateway (`mandatories`) and
the versions of runners, since they depend on the gateway's own build.

Discovery takes a node whose bits suffice. Selection of AI sessions takes only those that name the
model (server/ai_session.go): a software transcoder claims bits 27-32, 34 and 36, names none, and
gets no job. So for a list it lacks them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from google.protobuf.message import DecodeError

from mediafleet_common.formats.bits import from_bits
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
_CLAIMED: Final = frozenset(range(27, 33)) | {34, 36}
"""Bits that software transcoders set without being able to (seen on 0.9.1)."""
_LIVE: Final = PIPELINES["live-video-to-video"]
"""Whose `capacity` is what is free and whose `capacity_in_use` what is not (server/rpc.go,
setLiveAICapacity). Of other pipelines the latter is not told, and the former grows with each
remote worker that comes back."""
_AI: Final = frozenset(PIPELINES.values())
_NAMES: Final = {number: name for name, number in PIPELINES.items()}
MOST_ASKED_BYTES: Final = 4096
_MOST_ASKED: Final = 64
"""Of a request, beyond which it is asking for nothing in particular: a gateway asks for some
fifteen capabilities and one model, and anybody may ask."""
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
    """By capability and model, of those that tell both what they use and what is free. It moves
    with every session; what a node can do does not."""
    full: frozenset[tuple[int, str]] = frozenset()
    """Those of them of which nothing is free."""
    declared: bool = False
    """Whether somebody said so for it: then its AI models are known and nothing else."""

    def total(self, wanted: Sequence[Wanted] = ()) -> Sessions | None:
        """Sessions of what is wanted, or of everything; `None`: it told no capacity of that."""
        offers = [
            sessions
            for (number, model), sessions in self.sessions.items()
            if not wanted or any(each.covers(number, model) for each in wanted)
        ]
        if not offers:
            return None
        return Sessions(sum(each.in_use for each in offers), sum(each.capacity for each in offers))


def read(message: bytes) -> Capabilities:
    """What a serialised Capabilities message tells.

    Raises:
        google.protobuf.message.DecodeError: it is none.
    """
    said = Message.FromString(message)
    per_capability = said.constraints.per_capability
    models = {number: frozenset(each.models) for number, each in per_capability.items()}
    live = per_capability[_LIVE].models if _LIVE in per_capability else {}
    sessions = {
        (_LIVE, name): Sessions(model.capacity_in_use, model.capacity_in_use + model.capacity)
        for name, model in live.items()
        if model.capacity or model.capacity_in_use
    }
    full = frozenset(key for key, each in sessions.items() if each.in_use >= each.capacity)
    return Capabilities(from_bits(said.bitstring), models, sessions, full)


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

    def selected_at(self, offered: Capabilities | None) -> bool:
        """Whether a gateway's selection takes an orchestrator for it, too."""
        if not self.met_by(offered):
            return False
        return offered is None or self.number not in _CLAIMED or self.number in offered.models

    def claimed_by(self, offered: Capabilities | None) -> bool:
        """Whether an orchestrator says that it has it, and names no model of it."""
        return (
            offered is not None
            and self.number in offered.numbers
            and self.number not in offered.models
        )

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


def asked(message: bytes) -> tuple[Wanted, ...]:
    """What a request's serialised Capabilities message asks for, sorted; empty: nothing, or
    nothing that can be read, or too much."""
    if not 0 < len(message) <= MOST_ASKED_BYTES:
        return ()
    try:
        said = read(message)
    except DecodeError:
        return ()
    wishes = {
        Wanted(number, model)
        for number in said.numbers
        for model in said.models.get(number) or ("",)
    }
    return tuple(sorted(wishes)) if len(wishes) <= _MOST_ASKED else ()


def declared(texts: Sequence[str]) -> Capabilities | None:
    """What is declared for a node as `PIPELINE/MODEL` each; `None`: nothing.

    Raises:
        UnknownCapabilityError: with what would do.
    """
    models: dict[int, set[str]] = {}
    for each in map(wanted, texts):
        models.setdefault(each.number, set()).add(each.model)
    if not models:
        return None
    named = {number: frozenset(names) for number, names in models.items()}
    return Capabilities(frozenset(named), named, declared=True)


class Fit(IntEnum):
    """Whether a node can do what is wanted, the best first."""

    YES = 0
    UNKNOWN = 1
    FULL = 2
    """It can, and has nothing free: it would answer OrchestratorCapped."""
    NO = 3


def fit(known: Capabilities | None, wanted: Sequence[Wanted]) -> Fit:
    """Whether a node can do all of this.

    What is declared for a node names its AI models and says nothing of anything else.
    """
    if known is None:
        return Fit.UNKNOWN
    judged = [each for each in wanted if not known.declared or each.number in _AI]
    if wanted and not judged:
        return Fit.UNKNOWN
    if not all(each.selected_at(known) for each in judged):
        return Fit.NO
    return Fit.FULL if any((each.number, each.model) in known.full for each in judged) else Fit.YES


Verdict = tuple[Fit, ...]
"""By kind of node."""


class Kinds:
    """The nodes of a list by what they can do: as many questions as kinds, not as nodes."""

    def __init__(self, known: Sequence[Capabilities | None]) -> None:
        numbers: dict[Hashable, int] = {}
        self._kinds: list[Capabilities | None] = []
        self._of_node: list[int] = []
        for each in known:
            number = numbers.setdefault(_key(each), len(numbers))
            if number == len(self._kinds):
                self._kinds.append(each)
            self._of_node.append(number)

    def verdict(self, wanted: Sequence[Wanted]) -> Verdict:
        """What each kind is to a request; equal verdicts have the same answer."""
        return tuple(fit(kind, wanted) for kind in self._kinds)

    def of_nodes(self, verdict: Verdict) -> list[Fit]:
        """What each node is to it, in the order of the list."""
        return [verdict[kind] for kind in self._of_node]


def _key(known: Capabilities | None) -> Hashable:
    if known is None:
        return None
    models = tuple(sorted(known.models.items(), key=_number))
    return known.numbers, models, known.declared, known.full


def _number(item: tuple[int, frozenset[str]]) -> int:
    return item[0]
