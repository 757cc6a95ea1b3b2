"""What brokers write of a task that they share, as JSON: its input, and its one answer. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from mediafleet_scheduler.core.workers.foreign import read_json
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.steps import Ending
from mediafleet_scheduler.core.workers.views import Target

MOST_INLINE: Final = 1024 * 1024
"""Bytes of an input or a result that Redis holds; more lies in the shared folder, or at a broker
alone."""
LOST_WORDS: Final = "input lost: its broker is gone, and it was too long for Redis"


@dataclass(frozen=True, slots=True)
class Record:
    """A task, so that another broker can do it."""

    target: Target
    deadline: float
    """Unix time."""
    session: str | None = None
    request: Mapping[str, Any] | None = None
    """`None`: it is too long, and lies nowhere else."""
    file: str | None = None
    """Base64 of its file; `None`: it has none, or it lies elsewhere."""
    in_folder: bool = False
    """Whether its file lies in the shared folder."""
    file_lost: bool = False
    """Whether its file lies at its first broker alone."""

    def to_json(self) -> str:
        """As Redis holds it."""
        return json.dumps(asdict(self), separators=(",", ":"))


def record_of(text: str) -> Record:
    """A task that Redis holds.

    Raises:
        ValueError: it is none.
    """
    fields = _fields(text)
    try:
        pipeline, model = fields.pop("target")
        record = Record(Target(Pipeline(pipeline), str(model)), **fields)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a task: {error}") from error
    _check(
        _is_number(record.deadline),
        isinstance(record.session, str | None),
        isinstance(record.request, dict | None),
        isinstance(record.file, str | None),
        isinstance(record.in_folder, bool) and isinstance(record.file_lost, bool),
    )
    return record


@dataclass(frozen=True, slots=True)
class SharedAnswer:
    """How a task ended, for whichever broker is asked."""

    ending: Ending
    words: str = ""
    result: str | None = None
    """The runner's JSON; `None`: it is elsewhere, or there is none."""
    in_folder: bool = False
    """Whether it lies in the shared folder."""
    streams: bool = False
    """Whether it is a stream of events, which its broker passes on."""

    def to_json(self) -> str:
        """As Redis holds it."""
        return json.dumps(asdict(self), separators=(",", ":"))


def answer_of(text: str) -> SharedAnswer:
    """An answer that Redis holds.

    Raises:
        ValueError: it is none.
    """
    fields = _fields(text)
    try:
        answer = SharedAnswer(Ending(fields.pop("ending")), **fields)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not an answer: {error}") from error
    _check(
        isinstance(answer.words, str),
        isinstance(answer.result, str | None),
        isinstance(answer.in_folder, bool) and isinstance(answer.streams, bool),
    )
    return answer


def _fields(text: str) -> dict[str, Any]:
    fields = read_json(text)
    return fields if isinstance(fields, dict) else {}


def _check(*rules: bool) -> None:
    if not all(rules):
        raise ValueError("a field is not of its type")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12


TAG_BITS: Final = 15
_ADDRESS: Final = re.compile(r"([A-Za-z0-9.\-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):\d{1,5}")
_TASK: Final = re.compile("[0-9a-f]{32}")
_SHA256: Final = re.compile("[0-9a-fA-F]{64}")


def is_task(name: str) -> bool:
    """Whether it is the id of a task, which becomes the name of a file."""
    return _TASK.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Peer:
    """Another broker, as it is reached by its workers."""

    tag: int
    """Its own, by chance; it stands in the names of its inputs."""
    address: str
    """HOST:PORT of its workers' port."""
    fingerprint: str
    """SHA-256 of its certificate, in hexadecimal digits."""

    def to_json(self) -> str:
        """As Redis holds it."""
        return json.dumps(asdict(self), separators=(",", ":"))


def peer_of(text: str) -> Peer | None:
    """A broker that Redis tells of; `None`: it cannot be reached by others."""
    try:
        peer = Peer(**_fields(text))
        _check(
            type(peer.tag) is int and 0 <= peer.tag < 1 << TAG_BITS,
            isinstance(peer.address, str) and bool(_ADDRESS.fullmatch(peer.address)),
            isinstance(peer.fingerprint, str) and bool(_SHA256.fullmatch(peer.fingerprint)),
        )
    except (ValueError, TypeError):
        return None
    return peer
