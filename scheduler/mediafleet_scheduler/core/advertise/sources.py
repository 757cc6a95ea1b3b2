"""Nodes in other places: how the lists of sources are merged with a pool's own nodes.

Our own nodes are known at first hand, so that a source never brings back one that drains here.
Nodes of a source are not passed on to other advertisers (`Node.source`), so that there are no loops
and no list travels further than one step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from mediafleet_common.api.durations import seconds
from mediafleet_common.api.names import PodState
from mediafleet_common.api.pool import advertise
from mediafleet_common.formats.node_url import is_local, node_url, unreachable
from mediafleet_common.formats.reach import Reach
from mediafleet_scheduler.core.advertise.views import Node, PoolView, Source

MAX_NODES: Final = 1000
"""Of one source; what it tells beyond is not taken."""


def source(
    entry: advertise.Source, token_file: str | None = None, ca_file: str | None = None
) -> Source:
    """A source as desks know it."""
    return Source(
        name=entry.name,
        urls=tuple(entry.urls),
        list_url=entry.list_url,
        weight=entry.weight,
        stale_after_seconds=seconds(entry.stale_after),
        token_file=token_file,
        ca_file=ca_file,
        region=entry.region,
    )


class NotAListError(ValueError):
    """A source's answer is no JSON list; the text says why."""


@dataclass(frozen=True, slots=True)
class ReadList:
    """The last list that a source gave."""

    urls: tuple[str, ...]
    at: float = field(compare=False)
    """Seconds on the caller's clock."""
    etag: str | None = field(default=None, compare=False)
    """ETag of this list, from its server."""


def addresses(body: bytes, *, near: bool = False) -> tuple[tuple[str, ...], int]:
    """The addresses of `[{"address": "https://…", "score": 1}]`, and how many entries were dropped.

    Dropped are those without an address, and those that cannot be meant for gateways elsewhere:
    link-local, multicast, unspecified, and this machine itself unless the list is from here, too
    (`near`). So a list made elsewhere never has us dial what stands beside us.

    Raises:
        NotAListError: it is something else.
    """
    try:
        entries = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NotAListError(f"not JSON: {error}") from error
    if not isinstance(entries, list):
        raise NotAListError("JSON, but not a list")
    found = [each.get("address") if isinstance(each, dict) else None for each in entries]
    urls = tuple(each for each in found if isinstance(each, str) and each and _meant(each, near))
    return urls, len(entries) - len(urls)


def _meant(url: str, near: bool) -> bool:
    parsed = node_url(url)
    # One that does not parse is left out later, with the reason that any node has.
    return (
        parsed is None
        or unreachable(parsed, allow_private=True) is None
        or (near and is_local(parsed))
    )


def current(source: Source, read_list: ReadList | None, now: float) -> tuple[str, ...]:
    """What a source stands for now: its fixed URLs, and its list while that is not too old."""
    if read_list is None or is_stale(source, read_list, now):
        return source.urls
    return (*source.urls, *read_list.urls)


def is_stale(source: Source, read_list: ReadList, now: float) -> bool:
    """Whether a list is too old to count."""
    return now - read_list.at > source.stale_after_seconds


def merged(
    view: PoolView,
    lists: Mapping[str, tuple[str, ...]],
    previous: PoolView | None,
    now: float,
) -> PoolView:
    """A pool with the nodes that its sources tell, by name of the source.

    A node that was not there in `previous` is new as of `now` (Unix); `None`: the time is
    unknown.
    """
    ours = {node_url(node.url) for node in view.nodes} - {None}
    known = {node.uid: node for node in previous.nodes} if previous else {}
    since = now if previous is not None else None
    nodes = list(view.nodes)
    for source in view.sources:
        nodes += [
            _node(source, url, _reach(view, source, url), (known.get(_uid(source, url)), since))
            for url in dict.fromkeys(lists.get(source.name, ())[:MAX_NODES])
            if node_url(url) not in ours
        ]
    return replace(view, nodes=tuple(nodes))


def is_near(view: PoolView, source: Source) -> bool:
    """Whether a list is read from this machine itself, by the word of the user of it."""
    listed = node_url(_origin(source.list_url or ""))
    return view.reaches.own.loopback and listed is not None and is_local(listed)


def _origin(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def _reach(view: PoolView, source: Source, url: str) -> Reach:
    """What stands in the resource is its own word; what its list says is somebody else's."""
    if url in source.urls:
        return view.reaches.own
    return replace(view.reaches.foreign, loopback=is_near(view, source))


def _uid(source: Source, url: str) -> str:
    return f"source {source.name} {url}"


def _node(source: Source, url: str, reach: Reach, before: tuple[Node | None, float | None]) -> Node:
    known, since = before
    same = (source.weight, source.region, reach)
    if known is not None and (known.weight, known.region, known.reach) == same:
        # The same object: most of a thousand nodes are, whenever one changes.
        return known
    return Node(
        name=f"{source.name}/{url}",
        uid=_uid(source, url),
        url=url,
        metrics_url=None,
        state=PodState.READY,
        changed_at=since if known is None else known.changed_at,
        source=source.name,
        weight=source.weight,
        region=source.region,
        reach=reach,
    )
