"""When a managed head receives another list of nodes, which means starting it anew.

go-livepeer reads -nodes when it starts and never again (cmd/livepeer/starter/starter.go), so a list
that changes is a restart: put off until the list has stood still, no more than once a minute, and
not while the head has sessions, unless the resource says so.

| the list that the head has     | is                             | then                        |
|--------------------------------|--------------------------------|-----------------------------|
| there is no head               |                                | make it                     |
| as wanted                      |                                | nothing                     |
| empty: the head does not run   | another                        | send it once it has stood   |
| another                        | younger than STILL_SECONDS     | wait                        |
| another                        | sent less than a minute ago    | wait                        |
| another                        | and the head has sessions, or  | wait and ask again, unless  |
|                                | it is unknown whether it has   | restartWhileBusy            |
| another                        | otherwise                      | send it                     |
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mediafleet_common.formats.node_url import BadNodeUrlError, parse_node_url

STILL_SECONDS: Final = 5.0
EVERY_SECONDS: Final = 60.0
ASK_AGAIN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Head:
    """A managed head, as its Deployment says."""

    nodes: tuple[str, ...]
    sent_at: float | None
    """Unix time at which it last received a list."""


@dataclass(frozen=True, slots=True)
class Step:
    """What to do about a head."""

    nodes: tuple[str, ...]
    """The list that it is to have now."""
    send: bool = False
    """Whether it has another list now."""
    ask_sessions: bool = False
    """Only its sessions are in the way: ask for them, and decide again."""
    look_again_seconds: float | None = None


def step(
    head: Head | None,
    wanted: tuple[str, ...],
    still_seconds: float,
    now: float,
    *,
    idle: bool = False,
) -> Step:
    """What to do now. `still_seconds`: since when the wanted list is what it is; `idle`: it is
    known that the head has no sessions, or they do not matter."""
    if head is None:
        return Step(wanted, send=True)
    if head.nodes == wanted:
        return Step(wanted)
    since_sent = EVERY_SECONDS if head.sent_at is None else now - head.sent_at
    # A head with no nodes does not run: nothing is restarted.
    rest = 0.0 if not head.nodes else EVERY_SECONDS - since_sent
    wait = max(STILL_SECONDS - still_seconds, rest)
    if wait > 0:
        return Step(head.nodes, look_again_seconds=wait)
    if head.nodes and not idle:
        return Step(head.nodes, ask_sessions=True, look_again_seconds=ASK_AGAIN_SECONDS)
    return Step(wanted, send=True)


def listable(urls: Iterable[str], most: int | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The URLs that -nodes takes, each once and in order, and those that it does not: it wants
    https alone."""
    good: dict[str, None] = {}
    bad: dict[str, None] = {}
    for url in urls:
        try:
            fits = parse_node_url(url).scheme == "https" and "," not in url
        except BadNodeUrlError:
            fits = False
        (good if fits else bad)[url] = None
    return tuple(good)[:most], tuple(bad)
