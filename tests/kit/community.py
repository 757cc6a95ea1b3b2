"""A reporter on a clock that a test turns, and hours of gateways that ask."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mediafleet_common.api.community import Community, Share
from mediafleet_common.clock import Clock
from mediafleet_scheduler.community.reporter import Reporter
from mediafleet_scheduler.community.state import State

MIDNIGHT = 1_795_910_400 // 86_400 * 86_400.0
BY_ORIGIN = Share(own_streams=True, gateways_by_origin=True)


@dataclass
class Time:
    """A clock that a test turns."""

    now: float = MIDNIGHT
    clock: Clock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = Clock(unix=lambda: self.now, monotonic=lambda: self.now)


def reporter(
    time: Time,
    share: Share = BY_ORIGIN,
    streams: Callable[[], int | None] = lambda: 12,
    state: State | None = None,
) -> Reporter:
    """A reporter of region eu-west."""
    community = Community(region="eu-west", share=share)
    return Reporter(community, streams, clock=time.clock, state=state)


def an_hour(
    time: Time, reporter: Reporter, peers: list[str], gateways: list[str | None] | None = None
) -> None:
    """Let an hour go by in which these ask."""
    for _ in range(3600 // 15):
        for peer, gateway in zip(peers, gateways or [None] * len(peers), strict=True):
            reporter.asked(gateway, peer)
        if reporter.look():
            reporter.keep()
        time.now += 15
    if reporter.look():
        reporter.keep()


PEERS = ["203.0.114.7", "203.0.114.9", "198.51.101.3", "2a01:4f8:1:2::9", "10.0.0.9"]


def sent(labels: dict[str, str], relabelling: list[dict[str, Any]]) -> dict[str, str] | None:
    """The labels with which a series leaves; `None`: it stays."""
    for rule in relabelling:
        if "target_label" in rule:
            labels = {**labels, rule["target_label"]: rule["replacement"]}
            continue
        regex = re.compile(f"(?:{rule['regex']})")
        if rule["action"] == "keep":
            value = ";".join(labels.get(each, "") for each in rule["source_labels"])
            if not regex.fullmatch(value):
                return None
        else:
            assert rule["action"] == "labelkeep"
            labels = {name: value for name, value in labels.items() if regex.fullmatch(name)}
    return labels
