"""Faults of a pool that only its advertiser can see, as conditions. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mediafleet_common.api.names import Condition, Reason
from mediafleet_common.api.pool.advertise import Advertise, HeadFallback, Probe
from mediafleet_common.reports.finding import MAX_MESSAGE_CHARACTERS, Finding
from mediafleet_scheduler.core.advertise.listing import Remark

_REMARKED: Final = 10
_NAMED: Final = 5
"""So many names a message holds; it has to stay readable."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """How the reading of one source's list goes."""

    complaint: str | None = None
    """Why it cannot be read."""
    dropped: bool = False
    """Whether its last list is too old to count."""


@dataclass(frozen=True, slots=True)
class HeadState:
    """How the head is."""

    away: str | None = None
    mistake: str | None = None
    """Why its answers cannot be passed on."""


def findings(
    advertise: Advertise,
    sources: Mapping[str, SourceState],
    head: HeadState,
    unverified: Sequence[str],
    nodes: Sequence[Remark] | None = None,
) -> dict[Condition, Finding]:
    """The conditions of those parts of `advertise` that are in use."""
    found = {} if nodes is None else {Condition.NODES_LISTED: _nodes(nodes)}
    if any(source.list_url is not None for source in advertise.sources):
        found[Condition.SOURCES_READY] = _sources(advertise, sources)
    if advertise.head is not None:
        found[Condition.HEAD_READY] = _head(advertise, head)
    if advertise.probe is Probe.POD:
        found[Condition.ADDRESS_VERIFIED] = _addresses(advertise, unverified)
    return found


def _nodes(remarks: Sequence[Remark]) -> Finding:
    absent = [each for each in remarks if each.reason is not None]
    notes = [each for each in remarks if each.reason is None]
    if not absent:
        message = " ".join(["Every Ready node is listed.", *_sentences(notes)])
        return Finding("True", Reason.ALL_LISTED, message[:MAX_MESSAGE_CHARACTERS])
    message = " ".join(["Not listed:", *_sentences(absent), *_sentences(notes)])
    return Finding("False", Reason.NODES_LEFT_OUT, message[:MAX_MESSAGE_CHARACTERS])


def _sentences(remarks: Sequence[Remark]) -> list[str]:
    """One sentence for each of the first few."""
    said = []
    for each in remarks[:_REMARKED]:
        reason = "" if each.reason is None else each.reason.value.replace("_", " ")
        said.append(f"{each.name}: {', '.join(part for part in (reason, each.detail) if part)}.")
    more = len(remarks) - _REMARKED
    return [*said, f"And {more} more."] if more > 0 else said


UNUSED: Final = Finding("True", Reason.NOT_USED, "Not in use.")
"""Of a part that was in use and is not any more."""


def _sources(advertise: Advertise, states: Mapping[str, SourceState]) -> Finding:
    def say(name: str) -> str:
        state = states[name]
        kept = "its nodes are off the list" if state.dropped else "its last list stays for now"
        return f"{name} cannot be read ({state.complaint}): {kept}."

    away = sorted(name for name, state in states.items() if state.complaint is not None)
    if not away:
        return Finding("True", Reason.SOURCES_READ, "Every list can be read.")
    dropped = any(states[name].dropped for name in away)
    more = [f"And {len(away) - _NAMED} more."] if len(away) > _NAMED else []
    message = " ".join([*map(say, away[:_NAMED]), *more])
    return Finding(
        "False",
        Reason.SOURCE_DROPPED if dropped else Reason.SOURCE_AWAY,
        message[:MAX_MESSAGE_CHARACTERS],
    )


def _head(advertise: Advertise, state: HeadState) -> Finding:
    if state.mistake is not None:
        return Finding("False", Reason.HEAD_IS_ADVERTISER, state.mistake[:MAX_MESSAGE_CHARACTERS])
    if state.away is not None:
        stand_in = advertise.head_fallback is HeadFallback.ADVERTISE
        said = "the list alone" if stand_in else "UNAVAILABLE"
        message = f"{state.away}; gateways get {said}."
        return Finding("False", Reason.HEAD_AWAY, message[:MAX_MESSAGE_CHARACTERS])
    return Finding("True", Reason.HEAD_ANSWERS, "The head answers.")


def _addresses(advertise: Advertise, unverified: Sequence[str]) -> Finding:
    if not unverified:
        message = "Every node that answers does so under its address."
        return Finding("True", Reason.ADDRESS_ANSWERS, message)
    names = ", ".join(sorted(unverified)[:_NAMED])
    more = f" and {len(unverified) - _NAMED} more" if len(unverified) > _NAMED else ""
    listed = "listed" if advertise.list_unverified else "not listed"
    message = (
        f"The pods of {names}{more} answer and their addresses do not, seen from here: they are "
        f"{listed}, as advertise.listUnverified says."
    )
    return Finding("False", Reason.ADDRESS_UNVERIFIED, message)
